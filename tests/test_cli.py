"""What a whole run says: `--json` for scripts, plain lines for a log, a progress line and a plot for a terminal.

The corpus is hostile: its text clears screens, and turns them round.
"""

import contextlib
import csv
import fcntl
import io
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import termios
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workbench import cli

if TYPE_CHECKING:
    from conftest import Command

STEPS = 40
# Clears the screen; the same in one C1 character; sets a title; right-to-left override and its end; rings.
LINE = "ab\x1b[2Jc\x9b2Jd\x1b]0;owned\x07e\u202efg\u202ch\x7fé"
PRESET = f"""\
name = "hostile"
[data]
dataset = "hostile.txt"
split = "lines"
[batch]
B = 4
T = 8
[model]
layers = 1
heads = 1
width = 16
[schedule]
steps = {STEPS}
warmup = 4
[eval]
every = 20
[checkpoint]
every = 20
[sample]
every = 20
prompt = "\\u001b[2Jc"
tokens = 30
[device]
threads = 1
"""

WORDS = [
    "rows told",
    "rows hostile.toml",
    "data hostile.txt",
    "sample told",
    "eval told --split test",
    "runs",
    "--dry-run hostile.toml",
]
ALWAYS = {"format", "type", "time", "at"}
FIELDS = {
    "start": {
        "run", "params", "vocab", "train_tokens", "val_tokens", "train_examples", "val_examples", "test_examples",
        "tokens_per_step", "steps_per_epoch", "device", "precision", "fingerprint",
    },
    "step": {"step", "loss", "lr", "grad_norm", "tokens", "seconds", "tokens_per_s", "B", "T", "accum"},
    "eval": {"step", "train_loss", "val_loss", "perplexity"},
    "sample": {"step", "prompt", "text"},
    "checkpoint": {"step"},
    "end": {"state", "step", "val_loss", "seconds", "exit_code"},
}  # fmt: skip


@pytest.fixture(scope="module")
def here(workbench_of_module: "Command") -> "Command":
    (workbench_of_module.folder / "hostile.toml").write_text(PRESET)
    (workbench_of_module.folder / "hostile.txt").write_text(f"{LINE}\n" * 40)
    return workbench_of_module


@pytest.fixture(scope="module")
def told(here: "Command") -> "subprocess.CompletedProcess[str]":
    """A whole run with `--json`."""
    done = here("--headless", "hostile.toml", "--json", "--name", "told")
    assert done.returncode == 0, done.stderr
    return done


def parsed(line: str) -> dict[str, Any]:
    """Strict JSON: Python alone would take NaN."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    document: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return document


def of_type(lines: str, type: str) -> list[dict[str, Any]]:
    return [e for e in map(parsed, lines.splitlines()) if e["type"] == type]


def raw(text: str) -> set[str]:
    """The characters in a text that act on a terminal."""
    return set(re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text))


# ------------------------------------------------------------------------------------------ --json


def test_every_line_is_an_object_of_the_design(told: "subprocess.CompletedProcess[str]") -> None:
    assert told.stdout.isascii()
    assert told.stdout.endswith("\n")
    assert not raw(told.stdout)
    objects = [parsed(line) for line in told.stdout.splitlines()]
    for e in objects:
        assert set(e) >= ALWAYS | FIELDS[e["type"]]
        assert e["format"] == 1
        assert e["at"].endswith("Z")
        datetime.fromisoformat(e["at"])
    times = [e["time"] for e in objects]
    assert times == sorted(times), "training time only grows"
    types = [e["type"] for e in objects]
    assert (types[0], types[-1]) == ("start", "end")
    assert set(types) == set(FIELDS)


def test_steps_are_records_and_the_rest_counts_updates(told: "subprocess.CompletedProcess[str]") -> None:
    steps = of_type(told.stdout, "step")
    assert [e["step"] for e in steps] == list(range(STEPS))
    assert [e["tokens"] for e in steps] == [4 * 8 * (s + 1) for s in range(STEPS)]
    for e in steps:
        assert (e["B"], e["T"], e["accum"]) == (4, 8, 1)
        assert e["tokens_per_s"] == pytest.approx(32 / e["seconds"])
    for type in ("eval", "sample"):
        assert [e["step"] for e in of_type(told.stdout, type)] == [0, 20, 40]
    assert of_type(told.stdout, "checkpoint")[-1]["step"] == STEPS
    evals, (start,), (end,) = (of_type(told.stdout, type) for type in ("eval", "start", "end"))
    assert (end["state"], end["step"], end["exit_code"], end["val_loss"]) == ("done", STEPS, 0, evals[-1]["val_loss"])
    assert end["seconds"] == steps[-1]["time"]
    length = len(LINE) + 1
    assert [start[f"{split}_examples"] for split in ("train", "val", "test")] == [32 * length, 4 * length, 4 * length]
    assert start["vocab"] == len(set(LINE)) + 1
    assert start["tokens_per_step"] == 32
    assert start["steps_per_epoch"] == start["train_examples"] / 32


def test_narration_stays_on_stderr(told: "subprocess.CompletedProcess[str]") -> None:
    assert not raw(told.stderr)
    assert all(line.startswith("workbench: ") for line in told.stderr.splitlines())


def test_jq_reads_a_whole_run(told: "subprocess.CompletedProcess[str]") -> None:
    if not shutil.which("jq"):
        pytest.skip("jq is not installed")
    asked = subprocess.run(
        ["jq", "-es", 'map(select(.type == "step")) | length'], input=told.stdout, text=True, capture_output=True
    )
    assert (asked.returncode, asked.stdout.strip()) == (0, str(STEPS)), asked.stderr


# ------------------------------------------------------------------------------------------ export


def test_export_jsonl_tells_what_json_told(here: "Command", told: "subprocess.CompletedProcess[str]") -> None:
    exported = here("export", "told", "--jsonl")
    assert (exported.returncode, exported.stderr) == (0, "")
    first, again = ([parsed(line) for line in text.splitlines()] for text in (told.stdout, exported.stdout))
    for e in first + again:
        if e["type"] == "step":
            del e["at"]  # a record has no wall clock
    assert again == first


def test_export_csv_has_a_line_a_step(here: "Command", told: "subprocess.CompletedProcess[str]") -> None:
    exported = here("export", "told", "--csv")
    assert (exported.returncode, exported.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(exported.stdout)))
    steps = of_type(told.stdout, "step")
    assert len(rows) == STEPS
    for row, e in zip(rows, steps, strict=True):
        for key in FIELDS["step"]:
            assert float(row[key]) == e[key]


# ------------------------------------------------------------------------------------------ text


def test_a_log_is_plain_lines(here: "Command") -> None:
    done = here("--headless", "hostile.toml", "--name", "plain")
    assert done.returncode == 0, done.stderr
    assert not raw(done.stdout + done.stderr)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("plain: gpt, ")
    assert sum(line.startswith("step ") for line in lines) == 20
    assert sum(line.startswith("eval at step ") for line in lines) == 3
    assert "  | ␛[2Jc" in done.stdout, "what would act on a terminal is shown"
    assert lines[-1].startswith(f"done after {STEPS} steps")


@pytest.mark.parametrize(
    "words",
    WORDS,
)
def test_no_word_lets_the_text_act(words: str, here: "Command", told: "subprocess.CompletedProcess[str]") -> None:
    done = here(*words.split())
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert not raw(done.stdout + done.stderr)


@pytest.mark.parametrize(
    "words",
    [*WORDS, "data", "rows hostile.toml --step 3"],
)
def test_json_of_every_word_is_ascii_json(
    words: str, here: "Command", told: "subprocess.CompletedProcess[str]"
) -> None:
    done = here(*words.split(), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert not raw(done.stdout)
    assert [parsed(line)["format"] for line in done.stdout.splitlines()]


def test_names_do_not_act_either(here: "Command") -> None:
    (here.folder / "we\x1b[2Jird.txt").write_text("abc def\n" * 50)
    for words in (
        ["data", "we\x1b[2Jird.txt"],
        ["--dry-run", "hostile.toml", "--set", "dataset=we\x1b[2Jird.txt", "--set", "sample.prompt=abc"],
        ["runs", "--runs-dir", "we\x1b[2Jird"],
    ):
        done = here(*words)
        assert done.returncode == 0, done.stderr
        assert "ird" in done.stdout
        assert not raw(done.stdout + done.stderr)


def test_rows_tell_what_the_design_promises(here: "Command", told: "subprocess.CompletedProcess[str]") -> None:
    rows = parsed(here("rows", "told", "--step", "5", "--json").stdout)
    assert set(rows) >= {"step", "hash", "B", "T", "offsets", "x", "y", "x_text", "y_text"}
    assert (rows["step"], rows["B"], rows["T"]) == (5, 4, 8)
    assert [len(x) for x in rows["x"]] == [8] * 4
    assert [y[:-1] for y in rows["y"]] == [x[1:] for x in rows["x"]], "targets are the inputs, shifted by one"
    assert "\x1b" in "".join(rows["x_text"]), "decoded, and nothing made visible"


# ------------------------------------------------------------------------------------------ on a terminal


def on_a_terminal(here: "Command", *words: str, **env: str) -> tuple[int, str]:
    """Run it with stdout and stderr on a terminal of 100 columns. Returns the exit code and all that it wrote."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = here.start(*words, stdout=theirs, stderr=theirs, env={"TERM": "xterm-256color", "COLUMNS": "100", **env})
    os.close(theirs)
    written = b"".join(chunks(ours))
    os.close(ours)
    return process.wait(20), written.decode().replace("\r\n", "\n")


def chunks(fd: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):  # Linux says EIO when the other end is closed
        while chunk := os.read(fd, 65536):
            yield chunk


@pytest.fixture(scope="module")
def seen(here: "Command") -> str:
    """What a run writes to a terminal that wants no colours."""
    code, written = on_a_terminal(here, "--headless", "hostile.toml", "--steps", "300", NO_COLOR="1")
    assert code == 0, written
    return written


def test_a_terminal_gets_one_progress_line_and_a_plot(seen: str) -> None:
    # The line is taken away before each of its successors: without that, as many lines as it was drawn would stay.
    drawn = re.findall(r"\r\x1b\[K([^\n\r]*step [^\n\r]*left)", seen)
    assert len(drawn) >= 2
    shape = r"step +[\d,]+/300  loss \d\.\d{4}  lr \d\.\d\de-\d\d  [\d,]+ tokens/s  .* left"
    assert all(re.fullmatch(shape, line) for line in drawn)
    assert all(len(line) < 100 for line in drawn)
    screen = re.sub(r"[^\n]*\r\x1b\[K", "", seen)
    assert "step" not in [line.split(" ")[0] for line in screen.splitlines()], "none of them stays"
    assert not raw(screen)
    assert "loss, nats" in screen
    assert re.search("[\u2801-\u28ff]", screen), "the plot is drawn in braille"
    assert all(len(line) <= 100 for line in screen.splitlines())
    assert screen.splitlines()[-1].startswith("done after 300 steps")


def test_colour_is_all_that_no_color_takes_away(here: "Command", seen: str) -> None:
    escape = r"\x1b(?:\[[0-9;?]*[A-Za-z]|.)"
    assert set(re.findall(escape, seen)) == {"\x1b[K"}
    _, coloured = on_a_terminal(here, "--headless", "hostile.toml")
    assert {sequence[-1] for sequence in re.findall(escape, coloured)} <= {"m", "K"}


# ------------------------------------------------------------------------------------------ the screen


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", r"the screen needs a terminal; without one use `workbench --headless PRESET`"),
        ("hostile.toml", r"the screen needs a terminal"),
        ("attach told", r"the screen needs a terminal"),
        ("attach --runs-dir empty", r"empty: there are no runs yet"),
        ("attach tolt", r"no run named 'tolt' in .*; `workbench runs` lists them"),
        ("attach ./hostile.toml", r"'./hostile.toml' is not a run: expected a directory"),
        ("--theme pink", r"--theme: invalid choice: 'pink' \(choose from .*dark.*light.*terminal.*\)"),
        ("attach told --theme pink", r"--theme: invalid choice: 'pink'"),
        ("--world 0", r"--world: '0': expected how many ranks, a whole number from 1 to 65,536"),
        ("--world two", r"--world: 'two': expected how many ranks"),
        ("rusn", r"'rusn' is neither a word nor a preset; did you mean `workbench runs`\?"),
        ("compar one two", r"'compar' is neither a word nor a preset; did you mean `workbench compare`\?"),
        ("char two", "unrecognized arguments: two; see `workbench --help`"),
        ("--headless - --two", "unrecognized arguments: --two; see `workbench --help`"),
        ("hostil.toml", r"hostil.toml: no such file and no shipped preset"),
        ("hostile.toml --json", r"--json goes with --headless or --dry-run"),
        ("hostile.toml --quiet", r"--quiet goes with --headless or --dry-run"),
        ("--headless hostile.toml --big", r"--big: of the screen, which --headless does without"),
        ("--dry-run hostile.toml --theme light --world 2", r"--theme, --world: of the screen, which --dry-run does"),
    ],
)
def test_a_screen_that_cannot_be_opened_says_why(
    words: str, message: str, here: "Command", told: "subprocess.CompletedProcess[str]"
) -> None:
    done = here(*words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(rf"workbench: (argument |.*/)?{message}", done.stderr), done.stderr
    assert done.stderr.count("\n") == 1, "one message, no traceback"


# ------------------------------------------------------------------------------------------ help and version


def test_help_names_every_word_and_the_exit_codes(here: "Command") -> None:
    told = here("--help")
    assert (told.returncode, told.stderr) == (0, "")
    for word in cli.WORDS:
        assert re.search(rf"\b{word}\b", told.stdout)
        of_word = here(word, "--help")
        assert (of_word.returncode, of_word.stderr) == (0, "")
        assert of_word.stdout.startswith(f"usage: workbench {word}")
    for code in ("2", "3", "4", "5", "130", "143"):
        assert re.search(rf"\b{code}\b", told.stdout)


def test_version(here: "Command") -> None:
    assert re.fullmatch(r"workbench \d+\.\d+\.\d+\n", here("--version").stdout)


def test_a_shipped_preset_is_found_from_anywhere_and_told(here: "Command") -> None:
    told = here("--dry-run", "presets/to-be.toml")
    assert told.returncode == 0
    assert "presets/to-be.toml is not here: using the shipped preset" in told.stderr
    assert told.stdout.startswith("to-be: gpt on text, char tokens")


def test_quiet_says_nothing_and_runs_lie_where_they_are_told_to(here: "Command", tmp_path: Path) -> None:
    by_variable, by_option = tmp_path / "variable", tmp_path / "option"
    env = {"WORKBENCH_RUNS": str(by_variable)}
    words = ["--headless", "hostile.toml", "--steps", "1", "--quiet"]
    done = here(*words, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (run,) = by_variable.iterdir()
    assert re.fullmatch(r"hostile-\d{8}-\d{6}", run.name)
    assert run.stat().st_mode & 0o777 == 0o700
    assert all(p.stat().st_mode & 0o777 == (0o700 if p.is_dir() else 0o600) for p in run.rglob("*"))
    told = here("runs", "--json", "--runs-dir", str(by_option), env=env)
    assert (told.returncode, told.stdout) == (0, "")
    told = here("runs", "--json", env=env)
    assert [parsed(line)["run"] for line in told.stdout.splitlines()] == [run.name]
