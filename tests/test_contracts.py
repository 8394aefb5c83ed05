"""The house's contracts: who may import whom, and which processes never load what.

import-linter reads the source; what a process really has in `sys.modules` at its end is asked in subprocesses.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command

ROOT = Path(__file__).parents[1]

# Runs the command line and then says, on the last line of stderr, which of these were imported.
ASK = """
import json, sys
from workbench.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
asked = ["torch", "textual", "numpy", "pydantic", "plotext", "tiktoken", "safetensors", "requests", "psutil"]
print(json.dumps({"code": code, "loaded": [name for name in asked if name in sys.modules]}), file=sys.stderr)
"""

PRESET = """\
name = "tiny"
[data]
text = "To be or not to be."
val_fraction = 0.0
[batch]
B = 2
T = 4
[model]
layers = 1
heads = 1
width = 8
[schedule]
steps = 3
warmup = 0
"""


@pytest.fixture(scope="module")
def here(workbench_of_module: "Command") -> "Command":
    (workbench_of_module.folder / "tiny.toml").write_text(PRESET)
    return workbench_of_module


def loaded(here: "Command", *words: str) -> set[str]:
    """What a process that ran this command had imported when it was done."""
    with here.start(*words, python=("-c", ASK)) as process:
        _, err = process.communicate(timeout=60)
    told = json.loads(err.splitlines()[-1])
    assert told["code"] == 0, err
    return set(told["loaded"])


def test_the_import_contracts_hold() -> None:
    beside_python = Path(sys.executable).parent / "lint-imports"
    program = str(beside_python) if beside_python.exists() else shutil.which("lint-imports")
    if not program:
        pytest.skip("import-linter is not installed")
    checked = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    assert " kept, 0 broken." in checked.stdout


def test_a_headless_run_knows_no_screen_and_no_plot(here: "Command") -> None:
    of_run = loaded(here, "--headless", "tiny.toml", "--name", "first")
    assert "torch" in of_run, "the question is asked rightly"
    assert not of_run & {"textual", "plotext", "tiktoken", "requests"}


@pytest.mark.parametrize(
    "words",
    [
        "runs",
        "rows tiny.toml",
        "rows first",
        "--dry-run tiny.toml",
        "data",
        "data markov",
        "export first --csv",
        "resume first",
        "doctor",
    ],
)
def test_only_training_loads_torch(words: str, here: "Command") -> None:
    """A run of the test before is there to be looked at; `resume` of what is done already only says so."""
    if not here.runs.exists():
        assert here("--headless", "tiny.toml", "--name", "first", "--quiet").returncode == 0
    assert not loaded(here, *words.split()) & {"torch", "safetensors", "textual", "plotext"}


@pytest.mark.parametrize("words", ["--help", "--version", "set --help", "rows --help", "sample --help"])
def test_help_loads_nothing_large(words: str, here: "Command") -> None:
    assert loaded(here, *words.split()) == set()
