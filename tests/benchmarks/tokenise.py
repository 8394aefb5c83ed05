"""How fast a large text is tokenised beside tiktoken's one thread, opened again, and drawn from.

    python tests/benchmarks/tokenise.py [MEGABYTES] [ROUNDS]   # 1000 and 3 if not given; needs thrice that on disk

Prints three tables in Markdown. The text is the standard library's source over and over, with a number on every
copy so that no two are equal. Every start is a process of its own; memory is the kernel's peak resident size of
it. What is compared takes turns, so that other jobs on the machine slow down both; medians of the rounds. gpt2
needs TIKTOKEN_CACHE_DIR or a network, and is left out without.
"""

import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Round = tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]

ROOT = Path(__file__).parents[2]
# Of ru_maxrss: kilobytes on Linux, bytes on macOS.
UNIT = 1 if sys.platform == "darwin" else 1024
ALONE = 32  # megabytes that tiktoken is given before and after each of our turns
SHAPES = ((4, 8), (64, 64), (32, 256), (64, 1024))  # B, T
DRAWS = 100  # a turn
STEP = 8 << 20  # bytes to hash: less work than most steps


def write_text(path: Path, size: int) -> None:
    """About `size` bytes of source."""
    from workbench.data import embedded

    source = "".join(embedded.text("python-source")).encode()
    with path.open("wb") as file:
        copy = 0
        while (left := size - file.tell()) > 0:
            file.write(f"# copy {copy}\n".encode() + source[:left].rsplit(b"\n", 1)[0] + b"\n")
            copy += 1


def seconds_of_cores() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def start(path: str, tokenizer: str) -> dict[str, Any]:
    """Open the corpus and gather rows once; what opening took, and the whole process since its imports."""
    import numpy as np

    from workbench.data.corpus import open_corpus
    from workbench.preset import DataTable

    data = DataTable(dataset=path, tokenizer=tokenizer)
    began, worked = time.perf_counter(), seconds_of_cores()
    corpus = open_corpus(data)
    opening, work = time.perf_counter() - began, seconds_of_cores() - worked
    train = corpus.splits["train"]
    train.gather(np.linspace(0, train.n - 1025, 64, dtype=np.int64), 1025)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
    tokens = sum(split.n for split in corpus.splits.values())
    return {"opening": opening, "work": work, "peak": peak, "tokens": tokens}


def alone(path: str) -> dict[str, Any]:
    """tiktoken by itself in the main thread, on pieces of a megabyte: the fastest that it can be had."""
    import tiktoken

    with Path(path).open(encoding="utf-8") as file:
        pieces = [file.read(1 << 20) for _ in range(ALONE)]
    encoding = tiktoken.get_encoding("gpt2")
    encoding.encode_ordinary("warm")
    size = sum(len(piece.encode()) for piece in pieces)
    began, worked = time.perf_counter(), seconds_of_cores()
    for piece in pieces:
        encoding.encode_to_numpy(piece, disallowed_special=())
    return {"rate": size / (time.perf_counter() - began), "work": (seconds_of_cores() - worked) / size}


def rows(small: str, large: str, rounds: str) -> dict[str, Any]:
    """Seconds that each draw of (x, y) took, by shape: one after another, and as a run waits for its rows.

    A run draws ahead, while a step is computed; here it is a hash of some milliseconds, which lets threads run.
    """
    from workbench.data.ahead import Ahead
    from workbench.data.batches import batch
    from workbench.data.corpus import open_corpus
    from workbench.data.rows import Rows
    from workbench.preset import DataTable

    splits = [open_corpus(DataTable(dataset=path, tokenizer="char")).splits["train"] for path in (small, large)]
    took: dict[str, list[list[float]]] = {f"{B} × {T}": [[], [], [], []] for B, T in SHAPES}
    step_of_a_run = bytes(STEP)
    for turn in range(int(rounds)):
        for B, T in SHAPES:
            for which, split in enumerate(splits):
                for begin in range(0, split.n, 1 << 24):  # warm, whatever the machine thought of it meanwhile
                    split.read(begin, min(1 << 24, split.n - begin))
                function, ahead = Rows(tokens=split.n, T=T, seed=turn), Ahead(split, None)
                for g in range(0, DRAWS * B, B):
                    began = time.perf_counter()
                    batch(split, function.offsets(g, B), T, None)
                    took[f"{B} × {T}"][which].append(time.perf_counter() - began)
                waited = 0.0  # all of it: many are drawn in one go
                for g in range(DRAWS * B, 2 * DRAWS * B, B):  # others, which are in no cache of the processor's
                    began = time.perf_counter()
                    ahead.draw(function, g, B, then=g + B)
                    waited += time.perf_counter() - began
                    hashlib.sha256(step_of_a_run).digest()
                took[f"{B} × {T}"][2 + which].append(waited / DRAWS)
    return took


def process(what: str, *words: str, cache: Path) -> Any:
    """What one of the above returns in a process of its own; the last line of its complaint if it fails."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "WORKBENCH_CACHE": str(cache)}
    command = [sys.executable, __file__, f"--{what}", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it was killed"])[-1][:100]
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def tiktoken_alone(text: Path, processes: int) -> Any:
    """tiktoken by itself, in so many processes at once: the sum of their rates; or what one complained of."""
    with ThreadPoolExecutor(processes) as pool:
        asked = [pool.submit(process, "alone", str(text), cache=text.parent) for _ in range(processes)]
    told = [each.result() for each in asked]
    for each in told:
        if isinstance(each, str):
            return each
    return {key: combined(each[key] for each in told) for key, combined in (("rate", sum), ("work", statistics.mean))}


def tell_starts(text: Path, rounds: int, cache: Path) -> list[Round]:
    """The first table; and of gpt2's rounds what tiktoken did by itself, before and after, and what we did."""
    from workbench.data.threads import cores

    beside: list[Round] = []
    gigabytes = text.stat().st_size / 1e9
    print("| tokenizer | tokens | first start, s | MB/s | core seconds a GB | peak MB | opened again, ms | peak MB |")
    print("|---|---|---|---|---|---|---|---|")
    for tokenizer in ("byte", "char", "gpt2"):
        firsts: list[dict[str, Any]] = []
        for _ in range(rounds):
            shutil.rmtree(cache, ignore_errors=True)
            before = [tiktoken_alone(text, n) for n in (1, cores())] if tokenizer == "gpt2" else []
            first = process("start", str(text), tokenizer, cache=cache)
            after = [tiktoken_alone(text, n) for n in (1, cores())] if tokenizer == "gpt2" else []
            if wrong := [told for told in (first, *before, *after) if isinstance(told, str)]:
                print(f"| {tokenizer} | {wrong[0]} | | | | | | |")
                break
            firsts.append(first)
            if before:
                beside.append(([before[0], after[0]], [before[1], after[1]], first))
        again = [process("start", str(text), tokenizer, cache=cache) for _ in range(5) if firsts]
        seconds = [told for told in again if not isinstance(told, str)]
        if not seconds:
            continue
        middle = {key: statistics.median(first[key] for first in firsts) for key in ("opening", "work", "peak")}
        print(
            f"| {tokenizer} | {firsts[0]['tokens']:,} | {middle['opening']:.1f} "
            f"| {1000 * gigabytes / middle['opening']:.0f} | {middle['work'] / gigabytes:.1f} "
            f"| {middle['peak'] / 1e6:.0f} | {1000 * statistics.median(s['opening'] for s in seconds):.1f} "
            f"| {statistics.median(s['peak'] for s in seconds) / 1e6:.0f} |",
            flush=True,
        )
    return beside


def tell_beside(beside: list[Round], size: int) -> None:
    """The second table: ours against tiktoken's one thread times cores.

    On a machine that does other things, as many processes of tiktoken's are the fairer measure: one thread finds
    the gaps of every core, and as many as there are cores share them. Core seconds tell what is done besides.
    """
    from workbench.data.threads import cores

    print(
        "\n| gpt2 | tiktoken, one thread, MB/s | one a core, MB/s | ours, MB/s | ours over cores × one thread "
        "| over one a core | tiktoken's core seconds over ours |"
    )
    print("|---|---|---|---|---|---|---|")
    lines = []
    for single, each_core, first in beside:
        one, all_cores = (statistics.mean(told["rate"] for told in of) for of in (single, each_core))
        ours, work = size / first["opening"], size * statistics.mean(told["work"] for told in each_core)
        lines.append(
            (one / 1e6, all_cores / 1e6, ours / 1e6, ours / one / cores(), ours / all_cores, work / first["work"])
        )
    names = [f"round {n}" for n in range(1, len(lines) + 1)]
    if lines:
        names.append("median")
        lines.append(tuple(map(statistics.median, zip(*lines, strict=True))))
    for name, line in zip(names, lines, strict=True):
        print(f"| {name} |", *(f"{figure:.2f} |" for figure in line), flush=True)


def tell_rows(text: Path, rounds: int, cache: Path) -> None:
    """The third table."""
    small = text.with_name("small.txt")
    write_text(small, 1_000_000)
    size = f"{text.stat().st_size / 1e6:,.0f} MB"
    print(f"\n| rows, B × T | 1 MB, µs a draw | {size} | ratio | a run waits, 1 MB, µs | {size} | ratio |")
    print("|---|---|---|---|---|---|---|")
    told = process("rows", str(small), str(text), str(rounds), cache=cache)
    if isinstance(told, str):
        print(f"| {told} | | | | | | |")
        return
    for shape, seconds in told.items():
        one, other, small_run, large_run = (1e6 * statistics.median(each) for each in seconds)
        print(
            f"| {shape} | {one:.0f} | {other:.0f} | {other / one:.2f} "
            f"| {small_run:.0f} | {large_run:.0f} | {large_run / small_run:.2f} |",
            flush=True,
        )


def main() -> None:
    megabytes, rounds = (int(word) for word in (*sys.argv[1:], *("1000", "3")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory(prefix="tokenise-") as folder:
        text, cache = Path(folder, "text.txt"), Path(folder, "cache")
        write_text(text, megabytes * 1_000_000)
        load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
        print(f"{text.stat().st_size / 1e6:,.0f} MB of text, {os.cpu_count()} cores{load}\n")
        beside = tell_starts(text, rounds, cache)
        tell_beside(beside, text.stat().st_size)
        tell_rows(text, rounds, cache)


if __name__ == "__main__":
    asked = {"--start": start, "--alone": alone, "--rows": rows}.get(" ".join(sys.argv[1:2]))
    if asked:
        print(json.dumps(asked(*sys.argv[2:])))
    else:
        sys.path.insert(0, str(ROOT))
        main()
