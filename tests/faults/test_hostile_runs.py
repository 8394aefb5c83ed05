"""A run directory whose files were damaged or changed by bad intent: one sentence, never a traceback, never a hang."""

import contextlib
import io
import json
import os
import random
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from workbench import cli
from workbench.errors import WorkbenchError
from workbench.screen.bench.follow import Followed
from workbench.training import checkpoints

GOOD = Path(__file__).parent / "format-1" / "done-20261121-120000"
OTHER = Path(__file__).parent / "format-1" / "resumed-20261121-120000"
FILES = ("status.json", "steps.json", "steps.bin", "events.jsonl", "resolved.json", "preset.toml", "test.json")
LAST = "checkpoints/step-00000012"
_PARTS = ("meta.json", "model.safetensors", "optimizer.safetensors", "tokenizer.json")
IN_CHECKPOINT = tuple(f"{LAST}/{name}" for name in _PARTS)
HARM = "\x1b]0;own\x07\x1b[2J\x9b31m\u202ebad"
STRANGE: tuple[Any, ...] = (
    None, True, -1, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", HARM, [], {}, [1, "x"], {"a": []}, 0,
)  # fmt: skip
WORDS = (
    "runs", "runs --json", "rows bad", "rows bad --step 9 --json", "sample bad --tokens 3", "eval bad",
    "export bad --csv", "export bad --jsonl", "compare bad good", "set bad lr=1e-4 --timeout 1",
    "pause bad --timeout 1",
    "stop bad --timeout 1", "attach",
)  # fmt: skip
TRAINING = ("resume bad --steps 13 --quiet --re-resolve", "replay bad --quiet --re-resolve")


class Hung(BaseException):
    """Not an Exception: nothing may take it for an error of its own."""


@contextlib.contextmanager
def limit(seconds: int) -> Iterator[None]:
    def late(*_: object) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Terminal(io.StringIO):
    def reconfigure(self, **_: object) -> None: ...


def say(folder: Path, word: str) -> tuple[object, str]:
    """Run a word in this process. Its exit code, or what it should never do; and all that it wrote."""
    out = Terminal()
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    code: object
    try:
        with limit(20), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            if word == "attach":
                with contextlib.suppress(WorkbenchError):
                    followed = Followed(folder / "bad-20260101-000000")
                    followed.look()
                    followed.look()
                code = 0
            else:
                code = cli.main([*word.split(), "--runs-dir", str(folder)])
    except SystemExit as left:
        code = left.code
    except Hung:
        code = "hung"
    except Exception:  # noqa: BLE001 - whatever it is, it is what this looks for
        code = traceback.format_exc(limit=-4)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code, out.getvalue()


def wrong(folder: Path, word: str) -> str | None:
    code, said = say(folder, word)
    if code not in (0, 1, 2, 3, 4, 5):
        return f"{word}: {code}"
    if word != "export bad --csv" and any(mark in said for mark in ("\x1b", "\x9b", "\u202e", "\x07")):
        return f"{word}: wrote {said!r:.300}"
    if "Traceback" in said:
        return f"{word}: {said:.600}"
    if code == 0 and word.startswith("runs") and "good-2026" not in said:
        return f"{word}: the good run is hidden"
    return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    runs = tmp_path / "runs"
    runs.mkdir()
    shutil.copytree(GOOD, runs / "good-20260101-000000")
    return runs


def fresh(folder: Path, source: Path = GOOD) -> Path:
    bad = folder / "bad-20260101-000000"
    shutil.rmtree(bad, ignore_errors=True)
    shutil.copytree(source, bad)
    return bad


# --------------------------------------------------------------------------------- damage


def _object(path: Path, rng: random.Random) -> None:
    """One field of one object holds what no worker writes."""
    lines = path.read_text().splitlines()
    at = rng.randrange(len(lines))
    document = json.loads(lines[at])
    key = rng.choice([k for k in document if k != "format"])
    inner = document[key]
    if isinstance(inner, dict) and inner and rng.random() < 0.7:
        inner[rng.choice(list(inner))] = rng.choice(STRANGE)
    elif rng.random() < 0.1:
        del document[key]
    else:
        document[key] = rng.choice(STRANGE)
    lines[at] = json.dumps(document)
    path.write_text("\n".join(lines) + "\n")


def _newer(path: Path, rng: random.Random) -> None:
    if path.suffix in (".json", ".jsonl"):
        lines = [json.dumps(json.loads(line) | {"format": 2}) for line in path.read_text().splitlines()]
        path.write_text("\n".join(lines) + "\n")


def _swap(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


DAMAGE: dict[str, Callable[[Path, random.Random], object]] = {
    "empty": lambda p, r: p.write_bytes(b""),
    "truncated": lambda p, r: p.write_bytes(p.read_bytes()[: r.randrange(p.stat().st_size + 1)]),
    "random": lambda p, r: p.write_bytes(r.randbytes(r.choice((84, 420, 4096)))),
    "flipped": lambda p, r: p.write_bytes(bytes(b ^ (r.random() < 0.01) * r.randrange(256) for b in p.read_bytes())),
    "nul": lambda p, r: p.write_bytes(bytes(p.stat().st_size)),
    "foreign": lambda p, r: p.write_text(r.choice(('[1,2]', '{"a":1}', '{"format":"x"}', '"x"', "[" * 100_000, "NaN"))),
    "newer": _newer,
    "missing": lambda p, r: p.unlink(),
    "folder": lambda p, r: _swap(p, Path.mkdir),
    "link": lambda p, r: _swap(p, lambda q: q.symlink_to("/etc/hostname")),
    "loop": lambda p, r: _swap(p, lambda q: q.symlink_to(q.name)),
    "fifo": lambda p, r: _swap(p, os.mkfifo),
    "harm": lambda p, r: p.write_text(json.dumps({"format": 1, "type": "end", "state": HARM, "reason": HARM}) + "\n"),
}  # fmt: skip


def test_every_damage_to_every_file_is_told_in_a_sentence(
    folder: Path, trials: Callable[..., int], tell: Callable[[str], None]
) -> None:
    tried, failures = 0, []
    n = trials(ci=1, full=6)
    for seed in range(n):
        for file in FILES + IN_CHECKPOINT:
            for name, damage in DAMAGE.items():
                rng = random.Random(f"{seed} {file} {name}")
                bad = fresh(folder, OTHER if file == "test.json" else GOOD)
                damage(bad / file, rng)
                few = rng.sample(WORDS, 5) + [rng.choice(TRAINING)] * (rng.random() < 0.3)
                some = WORDS + TRAINING if n > 1 else few
                for word in (*some, *(("eval bad --split test",) if file == "test.json" else ())):
                    tried += 1
                    if problem := wrong(folder, word):
                        failures.append(f"seed {seed}, {file} {name}: {problem}")
    tell(f"damaged run directories: {tried} trials, {len(failures)} failures")
    assert not failures, "\n".join(failures[:12])


def test_a_field_of_the_wrong_kind_is_told_in_a_sentence(
    folder: Path, trials: Callable[..., int], tell: Callable[[str], None]
) -> None:
    tried, failures = 0, []
    files = [f for f in FILES + IN_CHECKPOINT if f.endswith((".json", ".jsonl"))]
    n = trials(ci=80, full=2000)
    for seed in range(n):
        rng = random.Random(seed)
        file = rng.choice(files)
        bad = fresh(folder, OTHER if file == "test.json" else GOOD)
        _object(bad / file, rng)
        words = rng.sample(WORDS, 3) + [rng.choice(TRAINING)] * (seed % 4 == 0)
        for word in (*words, *(("eval bad --split test",) if file == "test.json" else ())):
            tried += 1
            if problem := wrong(folder, word):
                failures.append(f"seed {seed}, {file}: {problem}")
    tell(f"fields of the wrong kind: {tried} trials, {len(failures)} failures")
    assert not failures, "\n".join(failures[:12])


@pytest.mark.parametrize(
    ("file", "damage", "word", "said"),
    [
        ("preset.toml", lambda text: "", "eval bad", "batch.T = 64, but the model of"),
        ("events.jsonl", lambda text: text + '{"format":1,"type":"note","step":"","x":[1e400]}\n', "export bad --jsonl",
         "an event of type note holds a number that is not finite"),
        ("events.jsonl", lambda text: text.replace('"type":"checkpoint"', '"kind":"checkpoint"'), TRAINING[0],
         "holds no `type`"),
    ],
)  # fmt: skip
def test_what_whole_rounds_have_found(
    folder: Path, file: str, damage: Callable[[str], str], word: str, said: str
) -> None:
    path = fresh(folder) / file
    path.write_text(damage(path.read_text()))
    code, told = say(folder, word)
    assert code == 1
    assert said in told


# --------------------------------------------------------------------------------- checkpoints


class _Evil:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


def test_a_pickle_in_a_checkpoint_is_refused_and_not_executed(folder: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for name in ("model.safetensors", "optimizer.safetensors"):
        bad = fresh(folder)
        torch.save({"w": _Evil(canary)}, bad / LAST / name)
        with pytest.raises(WorkbenchError):
            checkpoints._tensors(bad / LAST / name)
        for word in ("sample bad --tokens 3", "eval bad", *TRAINING):
            assert wrong(folder, word) is None
        assert not canary.exists()


@pytest.mark.parametrize("how", ["nan", "infinite", "shape", "dtype", "missing", "extra", "header"])
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
def test_tensors_that_no_worker_writes_are_refused(folder: Path, name: str, how: str) -> None:
    bad = fresh(folder)
    shutil.rmtree(bad / "checkpoints" / "step-00000006")
    path = bad / LAST / name
    tensors = load_file(path)
    key = next(k for k, t in tensors.items() if t.dim() == 2)
    match how:
        case "nan":
            tensors[key][0, 0] = float("nan")
        case "infinite":
            tensors[key][0, 0] = float("inf")
        case "shape":
            tensors[key] = torch.zeros(3, 5)
        case "dtype":
            tensors[key] = tensors[key].to(torch.int64)
        case "missing":
            del tensors[key]
        case "extra":
            tensors["more"] = torch.zeros(2)
    if how == "header":
        path.write_bytes((2**63).to_bytes(8, "little") + path.read_bytes()[8:])
    else:
        save_file(tensors, path)
    code, said = say(folder, "eval bad" if name.startswith("model") else TRAINING[0])
    assert "step-00000012" in said
    if how != "header":  # a file that is cut: the run goes on from the checkpoint before, and says so
        assert code == 1, said


@pytest.mark.parametrize("kept", [".step", ".exp_avg", ".momentum_buffer"])
def test_the_state_of_another_optimizer_is_refused(folder: Path, kept: str) -> None:
    bad = fresh(folder)
    path = bad / LAST / "optimizer.safetensors"
    save_file({k.replace(".exp_avg_sq", ".momentum_buffer"): t for k, t in load_file(path).items()}, path)
    save_file({k: t for k, t in load_file(path).items() if k.endswith(kept)}, path)
    code, said = say(folder, TRAINING[0])
    assert code == 1
    assert "moments are missing, or another optimizer's" in said


@pytest.mark.parametrize("word", [*WORDS, *TRAINING])
def test_an_undamaged_run_is_read_by_every_word(folder: Path, word: str) -> None:
    """The control: what the others call well-behaved is no refusal of everything."""
    fresh(folder)
    code, said = say(folder, word)
    assert code == (1 if word.split()[0] in ("set", "pause", "stop") else 0), said


@pytest.mark.parametrize("file", ["status.json", "steps.json", "resolved.json", "events.jsonl", f"{LAST}/meta.json"])
def test_a_newer_format_is_refused_by_name(folder: Path, file: str) -> None:
    bad = fresh(folder)
    _newer(bad / file, random.Random(0))
    word = {"status.json": "pause bad", "steps.json": "export bad --csv", "events.jsonl": "export bad --jsonl"}
    code, said = say(folder, word.get(file, "resume bad --steps 13 --quiet --re-resolve"))
    assert code in (1, 2)
    assert Path(file).name in said
    assert "newer workbench" in said


def test_records_that_are_not_in_their_place_are_told(folder: Path) -> None:
    bad = fresh(folder)
    (bad / "steps.bin").write_bytes(random.Random(1).randbytes(84 * 12))
    code, said = say(folder, "export bad --csv")
    assert code == 1
    assert "steps.bin: record 0 says that it is step" in said
