"""How long, and in how much memory, a large text is tokenised; and how fast the second start then is.

    python tests/benchmarks/tokenise.py [MEGABYTES]      # 1000 if not given; needs three times that on disk

The text is the standard library's source over and over, with a number on every copy so that no two are
equal. Each figure is of a process of its own; memory is the kernel's peak resident size of it. gpt2 needs
TIKTOKEN_CACHE_DIR or a network, and is left out without.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Of ru_maxrss: kilobytes on Linux, bytes on macOS.
UNIT = 1 if sys.platform == "darwin" else 1024


def write_text(path: Path, size: int) -> None:
    """About `size` bytes of source."""
    from workbench.data import embedded

    source = "".join(embedded.text("python-source")).encode()
    with path.open("wb") as file:
        copy = 0
        while (left := size - file.tell()) > 0:
            file.write(f"# copy {copy}\n".encode() + source[:left].rsplit(b"\n", 1)[0] + b"\n")
            copy += 1


def measure(path: str, tokenizer: str) -> None:
    """In a process of its own: open the corpus, gather rows once, print what it took as JSON."""
    began = time.perf_counter()
    import numpy as np

    from workbench.data.corpus import open_corpus
    from workbench.preset import DataTable

    corpus = open_corpus(DataTable(dataset=path, tokenizer=tokenizer))
    train = corpus.splits["train"]
    train.gather(np.linspace(0, train.n - 1025, 64, dtype=np.int64), 1025)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
    print(json.dumps({"seconds": seconds, "peak": peak, "tokens": sum(s.n for s in corpus.splits.values())}))


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory(prefix="tokenise-") as folder:
        text = Path(folder, "text.txt")
        write_text(text, megabytes * 1_000_000)
        print(f"{text.stat().st_size / 1e6:,.0f} MB of text, {os.cpu_count()} cores\n")
        print("| tokenizer | tokens | first start, s | MB/s | peak MB | second start, s | peak MB |")
        print("|---|---|---|---|---|---|---|")
        for tokenizer in ("byte", "char", "gpt2"):
            environment = os.environ | {
                "PYTHONPATH": str(ROOT),
                "WORKBENCH_CACHE": str(Path(folder, f"cache-{tokenizer}")),
            }
            command = [sys.executable, __file__, "--measure", str(text), tokenizer]
            starts = []
            for _ in range(2):
                done = subprocess.run(command, env=environment, capture_output=True, text=True)
                if done.returncode:
                    break
                starts.append(json.loads(done.stdout))
            if len(starts) < 2:
                print(f"| {tokenizer} | {done.stderr.strip().splitlines()[-1][:100]} | | | | | |")
                continue
            first, second = starts
            print(
                f"| {tokenizer} | {first['tokens']:,} | {first['seconds']:.1f} "
                f"| {megabytes / first['seconds']:.0f} | {first['peak'] / 1e6:.0f} "
                f"| {second['seconds']:.2f} | {second['peak'] / 1e6:.0f} |",
                flush=True,
            )
            for cached in Path(folder).glob("cache-*/corpora/*"):
                cached.unlink()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(*sys.argv[2:])
    else:
        sys.path.insert(0, str(ROOT))
        main()
