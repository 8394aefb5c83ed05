"""All figures of speed at once, as Markdown: what a machine is worth, and what a change has cost.

    python tests/benchmarks/table.py NANOGPT [PAIRS]     # a checkout of karpathy/nanoGPT; half an hour on two cores

Each part is a script of its own, or `workbench bench`, and can be asked for alone: speed.py (beside nanoGPT and a bare
loop, alternated), the presets' steps beside this machine's own matrix products, screen.py (start-up, attach, and
training with the screen beside headless), tokenise.py and readers.py. WORKBENCH_TEST_DATA as in speed.py.
"""

import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import textual
import torch

HERE = Path(__file__).parent
DATA = Path(os.environ["WORKBENCH_TEST_DATA"])
PRESETS = {
    "char": [],
    "shakespeare": [f"data.dataset={DATA / 'shakespeare.txt'}"],
    "10.7M (6/6/384)": [
        f"data.dataset={DATA / 'shakespeare.txt'}", "model.layers=6", "model.heads=6", "model.width=384", "T=256",
        "B=16",
    ],
    "names": [f"data.dataset={DATA / 'names.txt'}"],
    "markov": [],
}  # fmt: skip
"""What is benchmarked, and how it differs from the preset of that name, or from `shakespeare`."""


def main() -> None:
    nanogpt, pairs = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "5"
    processor = torch.cuda.get_device_name() if torch.cuda.is_available() else torch.backends.cpu.get_cpu_capability()
    print(f"{datetime.date.today()}, {platform.machine()} {processor}, {os.cpu_count()} cores, Python "
          f"{platform.python_version()}, torch {torch.__version__}, Textual {textual.__version__}\n")  # fmt: skip
    section("Training, beside nanoGPT and a bare loop", "speed.py", nanogpt, pairs)
    print("## The presets' steps, and what bounds them\n")
    print(
        "| preset | made | precision | step | tokens/s | steps/s | MFU | bound by |\n|---|---|---|---|---|---|---|---|"
    )
    for name, sets in PRESETS.items():
        print(row(name, sets), flush=True)
    print()
    section("The screen", "screen.py", "paint", "attach", "pace")
    section("Data", "tokenise.py", "200", "3")
    section("Readers", "readers.py")


def section(title: str, script: str, *words: str) -> None:
    print(f"## {title}\n", flush=True)
    subprocess.run([sys.executable, str(HERE / script), *words], check=True)
    print(flush=True)


def row(name: str, sets: list[str]) -> str:
    preset = name if name.isidentifier() else "shakespeare"
    command = [sys.executable, "-m", "workbench", "bench", preset, "--json", "--seconds", "20"]
    done = subprocess.run([*command, *(f"--set={s}" for s in sets)], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    step = told["seconds_per_step"]
    cells = (
        name, told["made"], told["precision"], f"{1000 * step:,.3g} ms", f"{told['tokens_per_step'] / step:,.0f}",
        f"{1 / step:,.1f}", f"{100 * told['mfu']:.0f}% of {told['peak_flops_per_s'] / 1e9:,.0f} GFLOP/s",
        told["bound_by"],
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
