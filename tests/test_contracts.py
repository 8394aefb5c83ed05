"""The house's contracts: who may import whom, and which processes never load what.

import-linter reads the source; what a process really has in `sys.modules` at its end is asked in subprocesses.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pseudo_terminal import PseudoTerminal

from workbench import cli
from workbench.runs import directory, status
from workbench.screen.keys import KEYS

if TYPE_CHECKING:
    from conftest import Command

ROOT = Path(__file__).parents[1]

# Runs the command line and then says, on the last line of stderr or in a file, which of these were imported.
ASK = """
import json, os, sys
from workbench.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
asked = [
    "torch", "textual", "numpy", "pydantic", "plotext", "tiktoken", "safetensors", "requests", "psutil", "http.client",
    "torch._dynamo",
]
told = json.dumps({"code": code, "loaded": [name for name in asked if name in sys.modules]})
print(told, file=open(os.environ["ASKED"], "w") if "ASKED" in os.environ else sys.stderr)
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
    assert "torch._dynamo" not in of_run, "a run that compiles nothing waits for no compiler: a second, and 75 MB"


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


@pytest.mark.parametrize(
    "words", ["--help", "--version", "attach --help", "set --help", "rows --help", "sample --help"]
)
def test_help_loads_nothing_large(words: str, here: "Command") -> None:
    assert loaded(here, *words.split()) == set()


def test_no_screen_loads_torch_or_an_http_client(here: "Command") -> None:
    """One screen starts a run and watches it train, another attaches; then both are left."""
    preset = here.folder / "long.toml"
    preset.write_text(PRESET.replace("steps = 3", "steps = 1_000_000").replace('"tiny"', '"long"'))
    runs = here.folder / "screens"
    screens: list[PseudoTerminal] = []

    def screen(*words: str) -> PseudoTerminal:
        asked = str(here.folder / f"screen-{len(screens)}.json")
        arguments = (*words, "--runs-dir", str(runs))
        screens.append(PseudoTerminal(arguments, cwd=here.folder, env={"ASKED": asked}, python=("-c", ASK)))
        return screens[-1]

    try:
        one = screen("long.toml")
        one.until("predictions")
        one.send(" ")
        one.until(lambda text: "running" in text and re.search(r"step [1-9]", text), timeout=60)
        two = screen("attach")
        two.until("running")
        for number in "12345678":
            two.send(number)
        two.until("Runs")
        if sys.platform == "linux":
            for terminal in screens:
                assert "torch" not in Path(f"/proc/{terminal.process.pid}/maps").read_text()
        for terminal, answer in ((two, "l"), (one, "s")):
            terminal.send("q")
            terminal.until("Leave?")
            terminal.send(answer)
            assert terminal.process.wait(timeout=60) == 0
    finally:
        for terminal in screens:
            terminal.close()
        found = status.read(directory.find(runs, "last"))
        if found and found.alive():
            os.kill(found.pid, signal.SIGKILL)
    for n in range(2):
        told = json.loads((here.folder / f"screen-{n}.json").read_text())
        assert told["code"] == 0
        assert "textual" in told["loaded"], "the question is asked rightly"
        assert not {"torch", "http.client"} & set(told["loaded"]), "the first paint waits for neither"


# ------------------------------------------------------------------------------------------ the README


README = (ROOT / "README.md").read_text(encoding="utf-8")


def table(title: str) -> list[str]:
    """The first cells of the table in a section of the README."""
    section = README.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return [line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if line.startswith("| `")]


def test_every_key_of_the_readme_is_a_key_of_the_screen() -> None:
    there = {key.shown.replace("^", "ctrl+") for key in KEYS} | set("123456789")
    rows = table("The screen")
    assert len(rows) > 10
    for row in rows:
        assert set(re.findall(r"`([^`]+)`", row)) <= there, row


def test_every_word_of_the_readme_is_a_word_of_the_command_line() -> None:
    rows = table("The command line")
    named = {word for row in rows for word in re.findall(r"(?:workbench |, `)([a-z]+)", row)}
    assert named == set(cli.WORDS)


def test_every_picture_of_the_readme_is_there_and_fetches_nothing() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert len(pictures) >= 3
    for picture in pictures:
        addresses = re.findall(r"https?://[^\"')]+", (ROOT / picture).read_text(encoding="utf-8"))
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}
