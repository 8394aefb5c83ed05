"""The loop's own lines: the body of `optimizer_step`, read as text. What is shown is what runs."""

import re
import textwrap
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import workbench

SOURCE = Path(workbench.__file__).parent / "training" / "step.py"
STAGES = {
    "zero": "optimizer.zero_grad()",
    "micro": "for index, (x, y) in",
    "forward": "= model(x)",
    "loss": "losses.sum() / targets",
    "backward": "loss.backward()",
    "wait": "watch(index",
    "norm": "get_total_norm(",
    "clip": "_foreach_mul_(",
    "lr": "optimizer.set(",
    "update": "optimizer.step()",
}
"""Where a step can stand, and the text by which its line is found."""
_PRAGMA = re.compile(r"  # type: ignore\[[^]]*\]")  # said to a type checker, not to a reader


@dataclass(frozen=True)
class LoopLines:
    """From the gradients' zeroing to the update; `at` has the line of every stage that was found."""

    lines: tuple[str, ...]
    at: dict[str, int]


@lru_cache(maxsize=1)
def loop_lines() -> LoopLines:
    """The lines, dedented; none where the source cannot be read."""
    try:
        return cut(SOURCE.read_text(encoding="utf-8"))
    except OSError:
        return LoopLines((), {})


def cut(source: str) -> LoopLines:
    """The lines of a source between the first and the last stage, both included."""
    lines = source.splitlines()
    begin = next((n for n, line in enumerate(lines) if STAGES["zero"] in line), None)
    end = next((n for n, line in enumerate(lines) if STAGES["update"] in line), None)
    if begin is None or end is None:
        return LoopLines((), {})
    kept = [_PRAGMA.sub("", line) for line in textwrap.dedent("\n".join(lines[begin : end + 1])).split("\n")]
    found = {stage: n for stage, text in STAGES.items() for n, line in reversed(list(enumerate(kept))) if text in line}
    return LoopLines(tuple(kept), found)


def window(count: int, lit: int, height: int) -> tuple[int, int]:
    """The lines [begin, end) of `count` that are shown in `height`, the lit one a little above the middle."""
    begin = min(max(0, lit - (height - 1) // 2), max(0, count - height))
    return begin, min(count, begin + height)
