"""The garbage collector stays out of the way while a program starts, and works as usual from then on."""

import json
import subprocess
import sys
from pathlib import Path

TELL = (
    "import gc, json; print(json.dumps([gc.get_threshold(), gc.get_freeze_count(), gc.get_stats()[2]['collections']]))"
)


def told(*lines: str) -> tuple[list[int], int, int]:
    """In a process of its own: the thresholds, how many objects are let be, how often all of them were gone through."""
    code = "\n".join((*lines, TELL))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    threshold, frozen, whole = json.loads(done.stdout)
    return threshold, frozen, whole


def test_it_looks_at_nothing_while_the_screen_is_imported_and_as_usual_afterwards() -> None:
    begin = "from workbench import startup; startup.begin(); import workbench.screen.app"
    threshold, frozen, whole = told(begin)
    assert threshold[0] > 100_000
    assert (frozen, whole) == (0, 0)
    threshold, frozen, _ = told(begin, "startup.over()")
    assert threshold == told()[0]
    assert frozen > 10_000


def test_a_run_begins_with_the_usual_collector(tmp_path: Path) -> None:
    begin = "import sys; from workbench import cli; sys.argv[0] = 'workbench'"
    words = ["--headless", "to-be", "--steps", "2", "--quiet", "--runs-dir", str(tmp_path)]
    train = f"sys.stdout, out = sys.stderr, sys.stdout; cli.main({words!r})"
    threshold, frozen, _ = told(begin, train, "sys.stdout = out")
    assert threshold == told()[0]
    assert frozen > 10_000
