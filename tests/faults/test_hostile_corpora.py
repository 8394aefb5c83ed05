"""Hostile corpora: trained on, or refused with the file's name and what to do; nothing in them reaches a terminal."""

import contextlib
import json
import os
import pickle
import random
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from faults.watchdog import watched
from pseudo_terminal import PseudoTerminal

from workbench import preset as presets
from workbench.cli import main
from workbench.data import ahead, nanogpt, tokenfile
from workbench.data import corpus as corpora
from workbench.data.corpus import open_corpus
from workbench.errors import WorkbenchError
from workbench.runs.signals import Signals
from workbench.training import worker

if TYPE_CHECKING:
    from conftest import Command

SEED = 20260705
LONGEST = 60  # seconds, of which a loaded machine needs most
DOCUMENT: dict[str, Any] = {
    "name": "hostile",
    "batch": {"B": 2, "T": 1},
    "model": {"kind": "gpt", "layers": 1, "heads": 1, "width": 4},
    "schedule": {"kind": "constant", "steps": 2, "warmup": 0},
    "eval": {"every": 2, "tokens": 50},
    "checkpoint": {"every": 0},
    "sample": {"every": 2, "tokens": 3},
    "device": {"name": "cpu", "threads": 1},
}
RANDOM = random.Random(SEED)
LIVE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
SEQUENCES = (
    "\x1b]0;owned\x07 \x1b]8;;http://x\x1b\\link \x1b[2J\x1b[31mred \x1bP+q544e\x1b\\ \x9b2J \x9d0;t\x9c \x90q\x9c "
    "\x1b[6n \x1bc \x0e \x0f \x08\x08 \x7f \x00 \u202e\u2066bidi\u2069 \r over \x1b[?1049h \x05 \x1b_apc\x1b\\ "
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WORKBENCH_OFFLINE", "1")
    return tmp_path / "cache"


Attempt = Callable[..., str]


@pytest.fixture
def attempt(tmp_path: Path, signals: Signals) -> Attempt:
    """Train on a file: "trained", or the sentence that refuses it (exit code 2 or 5), which names the file."""

    def go(path: Path, tokenizer: str = "char", *, narrators: Any = (), **data: Any) -> str:
        preset = presets.from_document(
            {**DOCUMENT, "data": {"dataset": str(path), "tokenizer": tokenizer, "val_fraction": 0.0, **data}},
            source="it",
        )
        with watched(LONGEST):
            try:
                outcome = worker.new(
                    preset, tmp_path / "runs", narrators=list(narrators), signals=signals,
                    progress=lambda what, share: None, tell=lambda text: None,
                )  # fmt: skip
            except WorkbenchError as error:
                assert error.exit_code in (2, 5), error  # noqa: PT017 (one way of two to end)
                assert not list((tmp_path / "runs").glob("*")), "a run is left of what was refused"
                assert not list((tmp_path / "cache").rglob("*.tmp")), "a part of a cache is left"
                return str(error)
        shutil.rmtree(tmp_path / "runs")
        return "trained" if outcome.state == "done" else f"{outcome.state}"

    return go


CONTENTS: dict[str, tuple[bytes, str, str]] = {
    # the bytes; what characters and BPE say of them; what bytes say
    "empty": (b"", "is empty", "is empty"),
    "one-byte": (b"a", "too few", "too few"),
    "two-bytes": (b"ab", "trained", "trained"),
    "newlines": (b"\n" * 100, "trained", "trained"),
    "only-a-mark": (b"\xef\xbb\xbf", "is empty", "trained"),
    "mark": (b"\xef\xbb\xbfabc def\n" * 20, "trained", "trained"),
    "crlf": (b"abc def\r\nghi\r" * 20, "trained", "trained"),
    "nul": (b"abc\0def\n" * 20, "byte 3 is NUL", "trained"),
    "latin-1": (b"caf\xe9\n" * 20, "not UTF-8: byte 3 (0xe9)", "trained"),
    "cut": ("zażółć".encode()[:-1], "not UTF-8", "trained"),
    "surrogates": (b"abc \xed\xa0\x80 def", "not UTF-8", "trained"),
    "overlong": (b"abc \xc0\xaf def", "not UTF-8", "trained"),
    "utf-16": ("hello".encode("utf-16"), "is UTF-16", "trained"),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(50), "byte 8 is NUL", "trained"),
    "random": (RANDOM.randbytes(4000), "tokenizer byte", "trained"),
    "no-newline": (b"abcdefgh " * 300_000, "trained", "trained"),
    "no-space": (b"x" * 3_000_000, "trained", "trained"),
    "escapes": (SEQUENCES.replace("\0", "").encode() * 20, "trained", "trained"),
}


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe:300"])
@pytest.mark.parametrize("name", CONTENTS)
def test_contents(attempt: Attempt, tmp_path: Path, name: str, tokenizer: str) -> None:
    raw, as_text, as_bytes = CONTENTS[name]
    path = tmp_path / f"{name}.txt"
    path.write_bytes(raw)
    said = attempt(path, tokenizer)
    merged = tokenizer.startswith("bpe") and "the training split has 1 token, too few" in said  # all of it one token
    assert (as_bytes if tokenizer == "byte" else as_text) in said or merged
    assert said == "trained" or path.name in said or "training split" in said
    if said != "trained":
        assert not LIVE.search(said)


def test_gpt2(attempt: Attempt, tmp_path: Path, test_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(test_data / "tiktoken"))
    for name, (raw, as_text, _) in CONTENTS.items():
        if name != "no-space":
            (tmp_path / f"{name}.txt").write_bytes(raw)
            said = attempt(tmp_path / f"{name}.txt", "gpt2")
            assert as_text in said or "the training split has 1 token" in said


@pytest.mark.parametrize("keys", [{"split": "lines"}, {"layout": "windows"}, {"split": "lines", "val_fraction": 0.3}])
def test_contents_line_by_line(attempt: Attempt, tmp_path: Path, keys: dict[str, Any]) -> None:
    for name, (raw, as_text, as_bytes) in CONTENTS.items():
        (path := tmp_path / f"{name}.txt").write_bytes(raw[:50_000])
        for tokenizer, expected in (("char", as_text), ("byte", as_bytes)):
            said = attempt(path, tokenizer, **keys)
            assert said == "trained" or expected in said or "it leaves none to train on" in said or "too few" in said


def test_every_character(attempt: Attempt, tmp_path: Path) -> None:
    """1,112,063 distinct characters: a vocabulary, and a bigram of their square that no memory holds."""
    path = tmp_path / "unicode.txt"
    path.write_text("".join(chr(c) for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000), newline="")
    assert attempt(path, "char") == "trained"
    preset = presets.from_document({**DOCUMENT, "model": {"kind": "bigram"}, "data": {"dataset": str(path)}}, source="")
    with watched(LONGEST), pytest.raises(WorkbenchError) as refused:
        worker.new(preset, tmp_path / "runs", narrators=[], signals=Signals(), progress=lambda *a: None, tell=print)
    assert refused.value.exit_code == 4


def test_what_is_no_file(attempt: Attempt, tmp_path: Path) -> None:
    """Each is refused at once and named; none is read."""
    os.mkfifo(tmp_path / "pipe.txt")
    os.symlink("loop.txt", tmp_path / "loop.txt")
    os.symlink("/dev/zero", tmp_path / "zero.txt")
    (tmp_path / "loops").mkdir()
    os.symlink(tmp_path / "loops", tmp_path / "loops" / "again")
    (tmp_path / "gone").mkdir()
    os.symlink(tmp_path / "nowhere", tmp_path / "gone" / "a.txt")
    with socket.socket(socket.AF_UNIX) as listening, open(tmp_path / "huge.txt", "wb") as huge:
        listening.bind(os.path.relpath(tmp_path / "socket.txt"))
        huge.truncate(1 << 42)
        for name in ("pipe.txt", "loop.txt", "zero.txt", "socket.txt", "loops", "gone", "/dev/zero", "/dev/null"):
            for tokenizer in ("char", "byte", "bpe:300"):
                said = attempt(tmp_path / name, tokenizer)
                assert name in said, said
                assert said.endswith("."), said
        assert "NUL" in attempt(tmp_path / "huge.txt", "char") or "room" in attempt(tmp_path / "huge.txt", "char")
        assert "Make room" in attempt(tmp_path / "huge.txt", "byte")


def test_folders(attempt: Attempt, tmp_path: Path, trials: Callable[..., int]) -> None:
    """Thousands of files, a loop of links, a pipe, a huge sparse file, hostile names: read, the odd ones left out."""
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(trials(ci=300, full=10_000)):
        (folder / f"{n}.txt").write_text(f"{n} squared is {n * n}\n")
    os.mkfifo(folder / "pipe.txt")
    os.symlink("loop.txt", folder / "loop.txt")
    os.symlink(folder, folder / "inside.txt")
    (folder / "\x1b[31m\n.txt").write_text("name\n")
    with open(os.path.join(os.fsencode(folder), b"\xff.txt"), "wb") as odd:
        odd.write(b"odd\n")
    assert attempt(folder) == "trained"
    with open(folder / "huge.txt", "wb") as huge:
        huge.truncate(1 << 40)
    assert "Make room" in attempt(folder) or attempt(folder) == "trained"
    (folder / "huge.txt").unlink()
    (folder / "bad.txt").write_bytes(b"caf\xe9\n")
    assert f"{folder}/bad.txt: not UTF-8" in attempt(folder)


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe:300"])
@pytest.mark.parametrize("phase", ["reading", "training bpe", "tokenising"])
@pytest.mark.parametrize("how", ["cut", "grown", "rewritten", "replaced", "removed"])
def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, cache: Path, how: str, phase: str, tokenizer: str
) -> None:
    """Refused with its name, or read as it was (the open file of one that was removed); never half of each."""
    path = tmp_path / "moving.txt"
    text = b"To be or not to be.\n" * 150_000
    path.write_bytes(text)
    done = []

    def strike(what: str, share: float | None) -> None:
        if what == phase and not done:
            done.append(what)
            if how == "cut":
                os.truncate(path, 1000)
            elif how == "grown":
                with path.open("ab") as file:
                    file.write(b"more")
            elif how == "rewritten":
                path.write_bytes(text.replace(b"T", b"t"))
            elif how == "replaced":
                (tmp_path / "new.txt").write_bytes(text[:-20])
                os.replace(tmp_path / "new.txt", path)
            else:
                path.unlink()

    table = presets.from_document({"data": {"dataset": str(path), "tokenizer": tokenizer}}, source="").data
    try:
        with watched(LONGEST):
            corpus = open_corpus(table, progress=strike)
    except WorkbenchError as error:
        assert (error.exit_code, "moving.txt" in str(error)) == (5, True), error  # noqa: PT017 (it may be read)
        assert done
    else:
        assert corpus.bytes == len(text)
        assert corpus.tokenizer.decode(corpus.splits["train"].read(0, 12)).startswith("To be")
    assert not list(cache.rglob("*.tmp"))


class Strike:
    """A narrator that does one thing after the fifth step."""

    def __init__(self, what: Callable[[], object]) -> None:
        self.what = what
        self.end: dict[str, Any] = {}

    def record(self, record: tuple[float, ...]) -> None:
        if record[0] == 5:
            self.what()

    def event(self, event: dict[str, Any]) -> None:
        self.end = event if event["type"] == "end" else self.end

    def phase(self, phase: str) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


def train_long(path: Path, tokenizer: str, runs: Path, signals: Signals, strike: Strike, **data: Any) -> Any:
    document = {**DOCUMENT, "schedule": {"kind": "constant", "steps": 30, "warmup": 0}, "eval": {"every": 0}}
    document["data"] = {"dataset": str(path), "tokenizer": tokenizer, **data}
    with watched(LONGEST):
        return worker.new(
            presets.from_document(document, source=""), runs, narrators=[strike], signals=signals,
            progress=lambda what, share: None, tell=lambda text: None,
        )  # fmt: skip


def test_tokens_that_are_cut_under_a_run(
    tmp_path: Path, cache: Path, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are read from the disk end where the file is cut: a sentence and exit code 5, not a crash."""
    (path := tmp_path / "text.txt").write_text("To be or not to be.\n" * 500)
    monkeypatch.setattr(tokenfile.open_tokens, "__kwdefaults__", {"in_memory": 0})
    monkeypatch.setattr(ahead, "MOST", 1)  # or the run ends with rows that were drawn before the cut

    def cut() -> None:
        for tokens in cache.rglob("*.tokens"):
            os.truncate(tokens, 3)

    outcome = train_long(path, "char", tmp_path / "runs", signals, strike := Strike(cut))
    assert (outcome.state, outcome.exit_code) == ("failed", 5)
    assert "cut short or changed" in strike.end["reason"]
    (tmp_path / "train.bin").write_bytes((np.arange(5000) % 256).astype("<u2").tobytes())
    monkeypatch.setattr(nanogpt, "IN_MEMORY", 0)
    strike = Strike(lambda: os.truncate(tmp_path / "train.bin", 2))
    outcome = train_long(tmp_path / "train.bin", "byte", tmp_path / "runs", signals, strike)
    assert (outcome.state, outcome.exit_code) == ("failed", 5)
    assert "train.bin" in strike.end["reason"]


def test_a_text_that_is_replaced_under_a_run(tmp_path: Path, signals: Signals) -> None:
    """The run goes on with what it read; a resume would be another run, and is refused."""
    (path := tmp_path / "text.txt").write_text("To be or not to be.\n" * 500)
    strike = Strike(lambda: path.write_text("Another text.\n" * 700))
    assert train_long(path, "char", tmp_path / "runs", signals, strike).state == "done"
    (run,) = (tmp_path / "runs").iterdir()
    with pytest.raises(WorkbenchError, match="the corpus has changed") as refused:
        worker.resume(
            run, {"schedule.steps": 40}, narrators=[], signals=signals, progress=lambda what, share: None, tell=print
        )
    assert refused.value.exit_code == 5


def _flip(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data)) if data else 0
    return data[:at] + bytes([data[at] ^ (1 << dice.randrange(8))]) + data[at + 1 :] if data else b"x"


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flipped": _flip,
    "cut": lambda data, dice: data[: dice.randrange(len(data) or 1)],
    "grown": lambda data, dice: data + dice.randbytes(dice.randrange(1, 99)),
    "garbage": lambda data, dice: dice.randbytes(len(data)),
    "zeros": lambda data, dice: bytes(len(data)),
    "empty": lambda data, dice: b"",
    "deep": lambda data, dice: b"[" * 200_000,
    "foreign": lambda data, dice: b'{"format": 1, "scan": 1, "n": "x", "dtype": "O", "about": {}}',
    "newer": lambda data, dice: data.replace(b'"format": 1', b'"format": 9'),
    "typed": lambda data, dice: re.sub(rb": \d+", b': "1"', data),
}


def test_damaged_caches(tmp_path: Path, cache: Path, trials: Callable[..., int], tell: Callable[[str], None]) -> None:
    """Any file of the cache, damaged in any way: the same corpus, made anew where need be."""
    dice = random.Random(SEED)
    (path := tmp_path / "text.txt").write_text("To be or not to be,\nthat is the question.\n\n" * 40)
    (tmp_path / "t.bin").write_bytes((np.arange(5000) % 256).astype("<u2").tobytes())
    tables = [
        presets.from_document({"data": {"dataset": str(path), **keys}}, source="").data
        for keys in (
            {}, {"split": "lines"}, {"tokenizer": "bpe:280"}, {"layout": "windows", "tokenizer": "byte"},
            {"dataset": str(tmp_path / "t.bin"), "tokenizer": "byte"},
        )
    ]  # fmt: skip

    def contents(corpus: corpora.Corpus) -> Any:
        splits = {name: split.read(0, split.n).tobytes() for name, split in corpus.splits.items()}
        return corpus.fingerprint, corpus.n_lines, corpus.characters, json.dumps(corpus.tokenizer.to_json()), splits

    whole = [contents(open_corpus(table)) for table in tables]
    n, failures = trials(ci=60, full=3000), []
    for trial in range(n):
        victim = dice.choice(sorted(file for file in cache.rglob("*") if file.is_file()))
        how = dice.choice(list(DAMAGES))
        victim.write_bytes(DAMAGES[how](victim.read_bytes(), dice))
        for table, expected in zip(tables, whole, strict=True):
            try:
                with watched(LONGEST):
                    if contents(open_corpus(table)) != expected:
                        failures.append(f"trial {trial}: {victim.name} {how}: another corpus for {table}")
                    corpora.open_kept(table)
            except Exception as error:  # noqa: BLE001 (whatever comes is a failure)
                failures.append(f"trial {trial}: {victim.name} {how}: {error!r}")
        if len(failures) >= 5:
            break
    tell(f"damaged caches: {trial + 1:,} trials (seed {SEED}), {len(failures)} failures")
    assert not failures, "\n".join(failures)


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_under_the_cache(attempt: Attempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path := tmp_path / "text.txt").write_text("To be or not to be.\n" * 100_000)
    with small_disk(tmp_path / "disk", "64k") as disk:
        monkeypatch.setenv("WORKBENCH_CACHE", str(disk / "cache"))
        for keys in ({}, {"split": "lines"}, {"layout": "windows"}, {"tokenizer": "bpe:300"}):
            said = attempt(path, **keys)
            assert "ake room" in said, said
            assert "WORKBENCH_CACHE" in said, said
            assert not list(disk.rglob("*.tmp"))
        (small := tmp_path / "small.txt").write_text("To be or not to be.\n" * 100)
        assert attempt(small) == "trained"


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null/cache", "{file}", "~nobody-here/x"])
def test_a_cache_that_cannot_be(attempt: Attempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    (path := tmp_path / "text.txt").write_text("To be or not to be.\n" * 100)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_CACHE", place.format(file=path))
    said = attempt(path)
    assert said == "trained" if place.startswith("~") else "WORKBENCH_CACHE" in said


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def test_token_files(attempt: Attempt, tmp_path: Path) -> None:
    """nanoGPT's .bin, whole and broken; the pickle beside it is never opened."""
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    path = tmp_path / "train.bin"
    good = (np.arange(500) % 256).astype("<u2").tobytes()
    for raw, said in (
        (good, "trained"), (good[:-1], "cut short"), (b"", "is empty"), (b"\xff\xff" * 50, "holds token 65535"),
        (b"\0", "cut short"), (b"\0\0", "too few"),
    ):  # fmt: skip
        path.write_bytes(raw)
        assert said in attempt(path, "byte")
        assert "meta.pkl" in attempt(path, "char")
        assert "tokenised already" in attempt(path, "bpe:300")
    path.write_bytes(good)
    (tmp_path / "val.bin").write_bytes(good[:-1])
    assert "val.bin" in attempt(path, "byte", val_fraction=0.1)
    assert not (tmp_path / "exploded").exists()


@pytest.fixture(scope="module")
def spoken(workbench_of_module: "Command") -> "tuple[Command, str]":
    """A run on a corpus full of escape sequences, and what it said into a pipe."""
    here = workbench_of_module
    (here.folder / "\x1b[31mred.txt").write_text(SEQUENCES.replace("\0", "") * 60)
    document = {**DOCUMENT, "model": {"kind": "bigram"}, "schedule": {"kind": "constant", "steps": 30, "warmup": 0}}
    document["optimizer"] = {"lr": 0.1}
    document["batch"] = {"B": 8, "T": 16}
    document["eval"] = {"every": 10}
    document["sample"] = {"every": 10, "tokens": 300, "prompt": "\x1b]0;"}
    document["data"] = {"dataset": str(here.folder / "\x1b[31mred.txt")}
    (here.folder / "it.toml").write_text(presets.to_toml(presets.from_document(document, source="")))
    told = here("--headless", "it.toml")
    assert told.returncode == 0, told.stderr
    assert "sample at step 30" in told.stdout
    return here, told.stdout + told.stderr


def test_nothing_alive_in_a_pipe(spoken: "tuple[Command, str]") -> None:
    assert not LIVE.search(spoken[1])


@pytest.mark.parametrize("words", [
    ["rows", "it.toml"], ["rows", "it.toml", "--json"], ["rows", "last"], ["data", "\x1b[31mred.txt"],
    ["data", "\x1b[31mred.txt", "--json"], ["data", "\x1b[31mgone.txt"], ["data", "x", "--tokenizer", "\x9b2J"],
    ["sample", "last", "--tokens", "500"], ["sample", "last", "--json"], ["sample", "last", "--prompt", "\x1b[2J\x01"],
    ["eval", "last"], ["export", "last", "--jsonl"], ["export", "last", "--csv"], ["runs"],
    ["--headless", "it.toml", "--dry-run"],
    ["\x1b[31mrnus"], ["rows", "\x1b[31m"], ["eval", "\x9b"], ["--headless", "it.toml", "--set", "\x1b[2J=1"],
    ["--\x1b[2J"], ["set", "last", "lr=\x1b[2J"], ["sample", "last", "--tokens", "\x1b[2J"],
    ["compare", "\x1b[2J", "last"],
    ["resume", "last", "--set", "\x1b[2J=1"], ["replay", "last", "--name", "\x1b[2J"], ["lesson", "\x1b[2J"],
])  # fmt: skip
def test_nothing_alive_in_a_word(
    spoken: "tuple[Command, str]", words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(spoken[0].folder)
    with watched(LONGEST):
        main(words)
    out, err = capfd.readouterr()
    assert out + err
    assert not LIVE.search(out + err)


def test_nothing_alive_in_a_run_s_name(
    spoken: "tuple[Command, str]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A run's directory may be renamed to anything."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(spoken[0].run(), tmp_path / "runs" / "\x1b[31mred")
    for words in (
        ["runs"],
        ["eval", "last"],
        ["sample", "last"],
        ["rows", "last"],
        ["resume", "last"],
        ["stop", "last"],
    ):
        with watched(LONGEST):
            main(words)
        out, err = capfd.readouterr()
        assert not LIVE.search(out + err), words


OURS = re.compile(rb"\r\x1b\[K|\r\n|\x1b\[[0-9;]*m")
"""What we say to a terminal ourselves: the progress line is written over, the plot has colours."""


def test_nothing_alive_on_a_terminal(spoken: "tuple[Command, str]") -> None:
    for words in (["--headless", "it.toml"], ["sample", "last", "--tokens", "300"], ["rows", "it.toml"]):
        terminal = PseudoTerminal(words, cwd=spoken[0].folder, emulate=False)
        try:
            terminal.process.wait(timeout=LONGEST)
            terminal.hang_up()
        finally:
            terminal.close()
        raw = b"".join(data for _, data in terminal.since(0))
        said = OURS.sub(b"", raw).decode("utf-8", "surrogateescape")
        assert said
        assert not (found := LIVE.search(said)), (words, found, said[:500])
        assert b"\x1b[31m" not in raw, "red is the corpus's, not ours"
