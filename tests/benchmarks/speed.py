"""Training speed beside nanoGPT's own train.py and a bare loop: the same data, alternated, each in its own process.

    python tests/benchmarks/speed.py NANOGPT [PAIRS] [WORD ...]     # NANOGPT: a checkout of karpathy/nanoGPT

WORKBENCH_TEST_DATA names the folder of shakespeare.txt and names.txt. Prints a Markdown table: medians over the pairs
of each process's median step, the ratio of every pair, and the most memory that each held.
"""

import datetime
import os
import pickle
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ["WORKBENCH_TEST_DATA"])


class Measured(NamedTuple):
    seconds: float
    """Of a step: the median."""
    peak: float
    """MB resident at most."""


class Model(NamedTuple):
    layers: int
    heads: int
    width: int
    B: int
    T: int
    steps: int


MODELS = {
    "shakespeare (4/4/128, T 64, B 64)": Model(4, 4, 128, 64, 64, 60),
    "10.7M (6/6/384, T 256, B 16)": Model(6, 6, 384, 16, 256, 12),
}
SKIPPED = 4
"""First steps that are not counted: libraries choose their kernels in them."""


def run(command: list[str], folder: Path, **more: str) -> tuple[str, float, float]:
    """stdout, seconds and the most memory in MB of one process and its children."""
    began = time.perf_counter()
    env = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        out.seek(0)
        text = out.read()
    if status:
        raise SystemExit(f"{' '.join(command)}\n{text[-3000:]}")
    return text, seconds, usage.ru_maxrss / 1024


def ours(m: Model, folder: Path, *sets: str) -> Measured:
    from workbench.runs.records import StepReader

    runs = Path(tempfile.mkdtemp(dir=folder))
    _, _, peak = run(
        [sys.executable, "-m", "workbench", "--headless", "shakespeare", "--quiet", f"--runs-dir={runs}",
         *(f"--set={s}" for s in (
             f"data.dataset={DATA / 'shakespeare.txt'}", f"model.layers={m.layers}", f"model.heads={m.heads}",
             f"model.width={m.width}", f"B={m.B}", f"T={m.T}", f"steps={m.steps}", "schedule.warmup=0", "eval.every=0",
             "checkpoint.every=0", "sample.every=0", "device.name=cpu", *sets,
         ))], folder,
    )  # fmt: skip
    (only,) = runs.iterdir()
    seconds = StepReader(only).read()["seconds"][SKIPPED:]
    shutil.rmtree(runs)
    return Measured(float(np.median(seconds)), peak)


def nanogpt(m: Model, folder: Path, checkout: Path, *, compile: bool = False) -> Measured:
    text, _, peak = run(
        [sys.executable, str(checkout / "train.py"), "--dataset=workbench", "--device=cpu", f"--compile={compile}",
         f"--n_layer={m.layers}", f"--n_head={m.heads}", f"--n_embd={m.width}", f"--batch_size={m.B}",
         f"--block_size={m.T}", f"--max_iters={m.steps}", "--gradient_accumulation_steps=1", "--eval_iters=1",
         "--eval_interval=1000000", "--log_interval=1", "--dropout=0.0", "--bias=False", "--warmup_iters=0",
         "--learning_rate=1e-3", "--beta2=0.99", f"--out_dir={folder / 'out'}"], checkout,
    )  # fmt: skip
    times = [float(ms) / 1000 for ms in re.findall(r"^iter \d+: loss [\d.]+, time ([\d.]+)ms", text, re.MULTILINE)]
    return Measured(statistics.median(times[SKIPPED:]), peak)


def prepare(checkout: Path, folder: Path) -> Path:
    """A copy of the checkout with tiny-shakespeare as its data, prepared as its own script does."""
    copy = folder / "nanoGPT"
    shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".git"))
    data = copy / "data" / "workbench"
    data.mkdir(parents=True)
    text = (DATA / "shakespeare.txt").read_text()
    chars = sorted(set(text))
    stoi = {c: i for i, c in enumerate(chars)}
    ids = np.array([stoi[c] for c in text], dtype=np.uint16)
    cut = int(len(ids) * 0.9)
    ids[:cut].tofile(data / "train.bin")
    ids[cut:].tofile(data / "val.bin")
    meta = {"vocab_size": len(chars), "stoi": stoi, "itos": dict(enumerate(chars))}
    (data / "meta.pkl").write_bytes(pickle.dumps(meta))  # which is what train.py reads
    return copy


BARE = """
import random, sys, time, torch, torch.nn.functional as F
steps = int(sys.argv[2]); torch.set_num_threads(1); torch.manual_seed(1)
words = open(sys.argv[1]).read().split(); random.seed(42); random.shuffle(words); words = words[:int(0.8 * len(words))]
stoi = {c: i + 1 for i, c in enumerate("abcdefghijklmnopqrstuvwxyz")} | {".": 0}
X, Y = [], []
for w in words:
    context = [0] * 3
    for c in w + ".":
        X.append(context); Y.append(stoi[c]); context = context[1:] + [stoi[c]]
X, Y = torch.tensor(X), torch.tensor(Y)
C = torch.randn(27, 10); W1 = torch.randn(30, 200) * 0.3; b1 = torch.randn(200) * 0.01
W2 = torch.randn(200, 27) * 0.01; b2 = torch.zeros(27)
parameters = [C, W1, b1, W2, b2]
for p in parameters: p.requires_grad = True
losses = []
def one(i):
    ix = torch.randint(0, X.shape[0], (32,))
    h = torch.tanh(C[X[ix]].view(-1, 30) @ W1 + b1)
    loss = F.cross_entropy(h @ W2 + b2, Y[ix])
    for p in parameters: p.grad = None
    loss.backward()
    lr = 0.1 if i < 20000 else 0.01
    for p in parameters: p.data += -lr * p.grad
    losses.append(loss.item())
for i in range(500): one(i)
began = time.perf_counter()
for i in range(steps): one(i)
print((time.perf_counter() - began) / steps)
"""


def names_ours(folder: Path, steps: int) -> Measured:
    """A step by the wall clock, recording, commands and all: what 2,000 more take than 500 or so, twice."""
    runs = Path(tempfile.mkdtemp(dir=folder))

    def wall(n: int) -> tuple[float, float]:
        _, seconds, peak = run(
            [sys.executable, "-m", "workbench", "--headless", "names", "--quiet", f"--runs-dir={runs}",
             *(f"--set={s}" for s in (f"data.dataset={DATA / 'names.txt'}", f"steps={n}", "schedule.milestones=[]",
               "eval.every=0", "checkpoint.every=0", "sample.every=0", "device.name=cpu"))], folder,
        )  # fmt: skip
        return seconds, peak

    short, _ = wall(500)
    long, peak = wall(500 + steps)
    shutil.rmtree(runs)
    return Measured((long - short) / steps, peak)


def names_bare(folder: Path, steps: int) -> Measured:
    text, _, peak = run([sys.executable, "-c", BARE, str(DATA / "names.txt"), str(steps)], folder)
    return Measured(float(text.split()[-1]), peak)


def told(name: str, a: list[Measured], b: list[Measured], tokens: int, what: str) -> None:
    ratios = [y.seconds / x.seconds for x, y in zip(a, b, strict=True)]
    mine, theirs = (statistics.median(m.seconds for m in both) for both in (a, b))
    peaks = [statistics.median(m.peak for m in both) for both in (a, b)]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(
        f"| {name} | {1000 * mine:,.3g} ms | {tokens / mine:,.0f} | {what} | {1000 * theirs:,.3g} ms | "
        f"{tokens / theirs:,.0f} | **{statistics.median(ratios):.2f}** | {spread} | {peaks[0]:,.0f}, {peaks[1]:,.0f} |",
        flush=True,
    )


def main() -> None:
    import torch

    checkout, pairs = Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    words = sys.argv[3:]

    def asked(name: str) -> bool:
        return not words or any(word in name for word in words)

    cpu = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())  # fmt: skip
    print(f"{datetime.date.today()}, {cpu}, {os.cpu_count()} cores, torch {torch.__version__}, {pairs} pairs\n")
    print("| model | step | tokens/s | beside | step | tokens/s | ratio | range | peak MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        copy = prepare(checkout, folder)
        for name, m in MODELS.items():
            if not asked(name):
                continue
            a, b = [], []
            for _ in range(pairs):
                a.append(ours(m, folder))
                b.append(nanogpt(m, folder, copy))
            told(name, a, b, m.B * m.T, "nanoGPT")
        if asked("names"):
            a, b = [], []
            for _ in range(pairs):
                a.append(names_ours(folder, 20_000))
                b.append(names_bare(folder, 20_000))
            told("names (mlp, B 32)", a, b, 32, "a bare loop")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
