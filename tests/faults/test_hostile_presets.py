"""Hostile presets: run, or refused with a reason that names the key. Never a traceback, a hang, or a file left over."""

import contextlib
import os
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from faults import hostile_documents as documents
from faults.watchdog import Hung, watched
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from workbench import preset as presets
from workbench.errors import WorkbenchError
from workbench.preset.errors import printable
from workbench.preset.errors import show as presets_show
from workbench.runs.signals import Signals
from workbench.training import worker

if TYPE_CHECKING:
    from conftest import Command

SEED = 20260705
LONGEST = 120  # seconds for one document: loading, and a run of at most three steps

# What a valid document may not keep for itself in a test: its sizes.
SMALL = {
    "data.text": documents.TINY["data"]["text"], "data.split": "tail", "data.layout": "stream",
    "data.val_fraction": 0.2,
    "data.stride": 0, "batch.B": 2, "batch.T": 4, "batch.accum": 1, "model.kind": "bigram", "schedule.kind": "constant",
    "schedule.steps": 2, "schedule.warmup": 0, "eval.every": 0, "checkpoint.every": 0, "sample.tokens": 3,
    "sample.prompt": "be", "device.name": "cpu", "device.threads": 1, "device.compile": "off",
}  # fmt: skip


def small(preset: presets.Preset) -> presets.Preset:
    """With so little to do that hundreds are trained in a minute; a table of 50,257² logits takes 40 GB."""
    sizes = presets.apply(preset, SMALL)
    if sizes.data.tokenizer != "gpt2":
        return sizes
    return presets.apply(sizes, {"model.kind": "gpt", "model.layers": 1, "model.heads": 1, "model.width": 8})


def _written(what: object) -> str:
    try:
        return repr(what)
    except ValueError:  # a number without end
        return presets_show(what)


class Trial:
    """Counts documents, refusals and failures; a failure does not end the loop, five do."""

    def __init__(self, folder: Path) -> None:
        self.runs, self.scratch = folder / "runs", folder / "scratch"
        self.scratch.mkdir()
        self.tried = self.refused = self.ran = 0
        self.failures: list[str] = []

    def check(self, what: object, judge: Callable[[], str]) -> None:
        """`judge` returns what is wrong, or nothing."""
        if len(self.failures) >= 5:
            return
        self.tried += 1
        try:
            with watched(LONGEST):
                wrong = judge()
        except Hung:
            wrong = f"hung for {LONGEST} s"
        except Exception:  # noqa: BLE001 (whatever comes is what is looked for)
            wrong = traceback.format_exc()[-1500:]
        torchs = "torchinductor"  # its own cache
        left = [path for path in self.scratch.iterdir() if torchs not in path.name]
        if wrong or left:
            self.failures.append(f"document {self.tried}: {wrong or f'left behind: {left}'}\n{_written(what)[:1500]}")

    def refusal(self, error: WorkbenchError, *names: str) -> str:
        """A refusal names what it refuses, and says it in characters that a terminal shows."""
        self.refused += 1
        said = str(error)
        if not said.strip() or any(not c.isprintable() and c != "\n" for c in said):
            return f"an unprintable message: {said!r}"
        return "" if any(name in said for name in names) else f"names none of {names}: {said}"

    def run(self, preset: presets.Preset) -> str:
        """Really train it. What is refused leaves no run behind."""
        self.ran += 1
        there = len(list(self.runs.glob("*")))
        try:
            outcome = worker.new(
                preset, self.runs, narrators=[], signals=Signals(), progress=lambda what, share: None,
                tell=lambda text: None,
            )  # fmt: skip
        except WorkbenchError as error:
            self.ran -= 1
            self.refused += 1
            if len(list(self.runs.glob("*"))) > there:
                return f"a run directory is left of what was refused: {error}"
            return "" if str(error).strip() else "refused without a reason"
        if outcome.state in ("done", "diverged"):
            return ""
        newest = max(self.runs.iterdir(), key=os.path.getmtime)
        return f"it ended as {outcome.state}: {(newest / 'events.jsonl').read_text()[-900:]}"

    def told(self, level: str) -> str:
        return (
            f"presets, {level}: {self.tried:,} documents (seed {SEED}), {self.ran:,} trained, "
            f"{self.refused:,} refused, {len(self.failures)} failures"
        )


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    found = Trial(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(found.scratch))
    monkeypatch.setenv("WORKBENCH_OFFLINE", "1")
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


def for_all(strategy: st.SearchStrategy[Any], n: int, check: Callable[[Any], None]) -> None:
    """n documents, the same ones every time."""

    @hypothesis.seed(SEED)
    @settings(
        max_examples=n, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @hypothesis.given(strategy)
    def each(example: Any) -> None:
        check(example)

    each()


def settled(trial: Trial, level: str, tell: Callable[[str], None]) -> None:
    tell(trial.told(level))
    print(trial.told(level))
    assert not trial.failures, f"{trial.told(level)}\n" + "\n\n".join(trial.failures)


def test_bytes(trial: Trial, tmp_path: Path, trials: Callable[..., int], tell: Callable[[str], None]) -> None:
    """Shipped presets after accidents: flipped, cut, doubled, nested, huge, of another encoding."""
    path = tmp_path / "it.toml"

    def judge(raw: bytes) -> str:
        path.write_bytes(raw)
        try:
            preset = presets.load(str(path)).preset
        except WorkbenchError as error:
            return trial.refusal(error, str(path))
        if presets.from_document(presets.to_document(preset), source="again") != preset:
            return "its document makes another preset"
        return trial.run(small(preset))

    for_all(documents.raw(), trials(ci=80, full=5000), lambda raw: trial.check(raw, lambda: judge(raw)))
    settled(trial, "raw bytes", tell)


def test_values(trial: Trial, tmp_path: Path, trials: Callable[..., int], tell: Callable[[str], None]) -> None:
    """Right in shape, hostile in value: through a document, a file, `--set` and `apply`, all refused alike."""
    path = tmp_path / "it.toml"

    def judge(document: dict[str, Any], changed: list[str]) -> str:
        names = [printable(name) if name in presets.KEYS else printable(name.split(".")[-1]) for name in changed]
        try:
            preset = presets.from_document(document, source="document")
        except WorkbenchError as error:
            said = trial.refusal(error, *names, *(f"[{name}]" for name in names))
        else:
            said = trial.run(small(preset))
        text = documents.as_toml(document)
        if not said and text is not None and len(text) < 2**20:
            path.write_bytes(text)
            with contextlib.suppress(WorkbenchError):
                presets.load(str(path))
        good = presets.from_document(documents.TINY, source="good")
        for name in changed:
            table, _, leaf = name.rpartition(".")
            inner = document[table] if table else document
            value = inner.get(leaf) if isinstance(inner, dict) else inner
            typed = f"{name}={presets_show(value)}"
            for way in (partial(presets.apply, good, {name: value}), partial(presets.parse_assignment, typed)):
                try:
                    way()
                except WorkbenchError as error:
                    said = said or trial.refusal(error, *names, *(f"[{name}]" for name in names), "--set")
        return said

    for_all(documents.hostile(), trials(ci=80, full=4000), lambda pair: trial.check(pair, lambda: judge(*pair)))
    settled(trial, "hostile values", tell)


def test_combinations(trial: Trial, trials: Callable[..., int], tell: Callable[[str], None]) -> None:
    """Every kind with every layout, order, split, schedule, optimizer and tokenizer: trained, or told why not."""

    def judge(document: dict[str, Any]) -> str:
        try:
            preset = presets.from_document(document, source="document")
        except WorkbenchError as error:
            return trial.refusal(error, "model.norm")
        return trial.run(preset)

    for_all(
        documents.valid(), trials(ci=20, full=1000), lambda document: trial.check(document, lambda: judge(document))
    )
    assert trial.ran > trial.tried / 2
    settled(trial, "combinations", tell)


@pytest.mark.parametrize("model", [{"width": 65536}, {"width": 8192, "layers": 1000}, {"kind": "mlp", "hidden": 65536}])
def test_a_model_that_no_computer_holds(tmp_path: Path, signals: Signals, model: dict[str, Any]) -> None:
    """Refused before anything is allocated: 1,000 blocks that fit one by one would fill the machine."""
    document = {**documents.TINY, "model": {"layers": 1000, "heads": 2, **model}}
    if "kind" in model:
        document["model"] = {**model, "embedding": 65536}
        document["data"] = {**documents.TINY["data"], "layout": "windows"}
    with watched(LONGEST), pytest.raises(worker.OutOfMemory, match=r"weights take [\d,]+ GiB, this computer has"):
        worker.new(
            presets.from_document(document, source=""), tmp_path / "runs", narrators=[], signals=signals,
            progress=lambda what, share: None, tell=lambda text: None,
        )  # fmt: skip
    assert not (tmp_path / "runs").exists()


def test_batch_norm_of_one_row_is_refused() -> None:
    with pytest.raises(presets.PresetError, match=r"batch\.B = 1: expected at least 2: model.norm is batch"):
        presets.from_document(
            {"data": {"layout": "windows"}, "batch": {"B": 1}, "model": {"kind": "mlp", "norm": "batch"}}, source=""
        )


@pytest.mark.parametrize(
    "dots", ["a." * 400_000 + "a = 1", "[" + "a." * 400_000 + "a]", "x = {" + "a." * 400_000 + "a = 1}"]
)
def test_dotted_keys_without_end_do_not_hang(tmp_path: Path, dots: str) -> None:
    (tmp_path / "dots.toml").write_text(dots)
    with watched(LONGEST), pytest.raises(presets.PresetError, match="line 1: not TOML: more than 64 dots"):
        presets.load(str(tmp_path / "dots.toml"))
    with watched(LONGEST), pytest.raises(presets.PresetError, match=r"batch\.B"):
        presets.parse_assignment(f"B=1\n{dots}")


def test_a_text_may_hold_any_number_of_dots(tmp_path: Path) -> None:
    text = "." * 1000 + ' # "'
    document = {**documents.TINY, "data": {"text": f"{text}\n{text}" + "'''"}}
    path = tmp_path / "dots.toml"
    path.write_text("# " + "." * 1000 + "\n" + presets.to_toml(presets.from_document(document, source="")))
    assert presets.load(str(path)).preset.data.text == document["data"]["text"]


def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is refused within a moment, by its name."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.toml")
    os.mkdir("folder.toml")
    os.symlink("loop.toml", "loop.toml")
    os.symlink("/dev/zero", "zero.toml")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.toml")
        Path("secret.toml").write_text("")
        os.chmod("secret.toml", 0)
        with open("huge.toml", "wb") as huge:
            huge.truncate(1 << 40)  # sparse
        Path("fifty.toml").write_bytes(b"# \n" * (17 << 20))
        odd = [
            "pipe.toml",
            "folder.toml",
            "loop.toml",
            "zero.toml",
            "socket.toml",
            "huge.toml",
            "fifty.toml",
            "/dev/zero",
        ]
        odd += [
            "/dev/stdin/x",
            "x" * 300,
            "x" * 5000,
            "../" * 2000,
            "\x1b[31mred\x07",
            "a\x00b",
            "-",
            ".",
            "~",
            "~nobody-here",
        ]
        odd += ["\u202egpj.toml", "/proc/self/mem", "//", "/"] + (["secret.toml"] if os.geteuid() else [])
        monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115
        for source in odd:
            with watched(5), pytest.raises(presets.PresetError) as refused:
                presets.load(source)
            said = str(refused.value)
            assert said.isprintable(), source
            shown = source.encode("unicode_escape").decode() if not source.isprintable() else source
            assert shown in said or (source == "-" and "stdin" in said), (source, said)


NAMES = [
    "../up",
    "/abs",
    "a/b",
    "\x1b[31mred",
    "x" * 300,
    "żółw",
    "-dash",
    ".hidden",
    "a\nb",
    "",
    " ",
    "..",
    "a\u202eb",
]


def test_names_of_runs(workbench: "Command", tmp_path: Path) -> None:
    """`--name` and `name` make directories: none leaves the folder, hides, or speaks to the terminal."""
    for name in NAMES:
        with pytest.raises(presets.PresetError, match="name = "):
            presets.load("char", name=name)
        with pytest.raises(presets.PresetError, match="name = "):
            presets.from_document({"name": name}, source="")
    told = workbench("--headless", "char", "--name=\x1b[31mred/../..", "--steps=1")
    assert (told.returncode, told.stdout) == (2, "")
    assert "--name: name = " in told.stderr
    assert "\x1b" not in told.stderr
    assert list(tmp_path.iterdir()) == []


def test_odd_runs_folders(workbench: "Command", tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "it.toml").write_bytes(documents.as_toml(documents.TINY) or b"")
    for folder in ("/proc/nowhere", "\x1b[31mred/../file"):
        told = workbench("--headless", "it.toml", "--quiet", f"--runs-dir={folder}")
        assert told.returncode == 2, told.stderr
        assert "--runs-dir" in told.stderr
        assert "\x1b" not in told.stderr + told.stdout
    told = workbench("runs", "--runs-dir=~nobody-here/runs")
    assert (told.returncode, "Traceback" in told.stderr) == (0, False), told.stderr


def test_dry_run_of_hostile_files(workbench: "Command", tmp_path: Path) -> None:
    """The whole way, in real processes: exit code 2, one message, nothing alive in it, nothing on the disk."""
    for n, raw in enumerate((b'"\\u001b[31mB" = 1', b'[data]\ntokenizer = "\\u009b2J"', documents.LINES[6])):
        (tmp_path / f"{n}.toml").write_bytes(raw)
        told = workbench("--headless", "--dry-run", f"{n}.toml", timeout=60)
        assert (told.returncode, told.stdout) == (2, "")
        assert f"{n}.toml" in told.stderr
        assert all(c.isprintable() or c == "\n" for c in told.stderr)
    assert not workbench.runs.exists()
