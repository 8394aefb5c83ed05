"""What a user can get wrong, and the one clear message that each mistake gets.

Every row is a command as it is typed, its exit code, and what its message has to say: the thing, what was found, what
was expected. For all of them: nothing on stdout, one message on stderr without a traceback or a character that a
terminal would act on, and no run directory left behind.

All run in this process, which is the same code with one import of torch for all; test_exit_codes.py has real ones.
"""

import json
import os
import shlex
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tiktoken

from workbench import preset as presets
from workbench.cli import main
from workbench.runs import directory, status

GOOD = """\
name = "good"
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
warmup = 1
[eval]
every = 0
[sample]
every = 0
"""

FILES: dict[str, str | bytes] = {
    "good.toml": GOOD,
    "syntax.toml": 'name = "x"\n[batch\nB = 1\n',
    "twice.toml": "[batch]\nB = 1\nB = 2\n",
    "unknown-key.toml": "[optimizer]\nlrr = 0.1\n",
    "unknown-table.toml": "[optimiser]\nlr = 0.1\n",
    "at-the-top.toml": "lr = 0.1\n",
    "both.toml": '[data]\ntext = "abc"\ndataset = "markov"\n',
    "neither.toml": '[data]\ndataset = ""\n',
    "types.toml": 'seed = 1.5\n[batch]\nB = "64"\nT = true\n[model]\nbias = 1\n',
    "other-kind.toml": '[model]\nkind = "bigram"\nheads = 4\n[optimizer]\nkind = "sgd"\nbetas = [0.9, 0.9]\n',
    "latin1.toml": 'name = "é"\n'.encode("latin-1"),
    "nan.toml": "[optimizer]\nlr = nan\n",
    "newer.toml": "format = 2\n",
    "many.toml": "[batch]\nB = 0\n[optimizer]\nclip = -1\n[schedule]\nsteps = 10\nwarmup = 11\n",
    "table.toml": "batch = 3\n",
    "escape.toml": '"l\\u001b[2Jr" = 1\n',
    "text.txt": "abc def\n" * 50,
    "one.txt": "a",
    "two.txt": "ab",
    "empty.txt": "",
    "only-a-mark.txt": b"\xef\xbb\xbf",
    "binary.dat": bytes(range(256)) * 8,
    "image.txt": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "latin1.txt": "Où est la bibliothèque ?\n".encode("latin-1"),
    "utf16.txt": "hello".encode("utf-16"),
    "tokens.bin": b"\0\1" * 100,
    "odd.bin": b"\0\1" * 100 + b"x",
    "pictures/a.png": b"x",
    "file": "a regular file, where a folder is needed",
}


class Row(NamedTuple):
    command: str
    code: int
    says: tuple[str, ...]


def row(command: str, code: int, *says: str) -> Row:
    return Row(command, code, says)


# What is wrong with a preset or its corpus. Each is asked for twice, by --dry-run and by --headless, and refused alike.
PRESETS = [
    # which preset
    row("", 2, "which preset?", "`workbench --headless char`"),
    row("''", 2, "which preset?"),
    row("no-such", 2, "no-such: no such file and no shipped preset", "shipped are", "char", "shakespeare"),
    row("no-such-preset-anywhere", 2, "no shipped preset; shipped are"),
    row("shakespear", 2, "shakespear: no such file and no shipped preset", "did you mean shakespeare?"),
    row("presets/missing.toml", 2, "presets/missing.toml: no such file"),
    row("pictures", 2, "pictures: this is a folder; expected a preset, a TOML file"),
    row("pipe.txt", 2, "pipe.txt: this is not a regular file; expected a preset"),
    row("binary.dat", 2, "binary.dat: line 2: byte 0x80 is not UTF-8; expected a TOML file"),
    row(r"'no\x1b[2J\x9bfile'", 2, r"no\x1b[2J\x9bfile: no such file"),
    # what is in the file
    row("syntax.toml", 2, "syntax.toml: line 2: not TOML", "Expected ']'"),
    row("twice.toml", 2, "twice.toml: line 3: not TOML", "overwrite"),
    row("latin1.toml", 2, "latin1.toml: line 1: byte 0xe9 is not UTF-8"),
    row("newer.toml", 2, "newer.toml: format = 2: written by a newer workbench", "upgrade"),
    row("unknown-key.toml", 2, "unknown-key.toml: optimizer.lrr = 0.1: no such key; did you mean optimizer.lr?"),
    row("unknown-table.toml", 2, "unknown-table.toml: [optimiser]: no such table; did you mean [optimizer]?"),
    row("at-the-top.toml", 2, "at-the-top.toml: lr = 0.1: no such key; did you mean optimizer.lr?"),
    row("table.toml", 2, "table.toml: batch = 3: expected a table: [batch]"),
    row("escape.toml", 2, r"escape.toml: 'l\x1b[2Jr' = 1: no such key"),
    row("both.toml", 2, "both.toml: data.text = 'abc': data.dataset = 'markov' is given too; expected one of the two"),
    row("neither.toml", 2, "neither.toml: data.dataset = '': expected the name of a dataset, or a path"),
    row(
        "types.toml", 2,
        "types.toml: seed = 1.5: expected a whole number",
        "types.toml: batch.B = '64': expected a whole number from 1",
        "types.toml: batch.T = true: expected a whole number",
        "types.toml: model.bias = 1: expected true or false",
    ),
    row(
        "other-kind.toml", 2,
        "other-kind.toml: model.heads = 4: model.heads belongs to kind gpt; this model is bigram",
        "other-kind.toml: optimizer.betas = [0.9, 0.9]: optimizer.betas belongs to kinds adamw and muon",
    ),
    row(
        "many.toml", 2,
        "batch.B = 0: expected a whole number from 1",
        "optimizer.clip = -1: expected a number from 0",
        "schedule.warmup = 11: expected at most schedule.steps = 10",
    ),
    row("nan.toml", 2, "nan.toml: optimizer.lr = nan: expected a number from 0"),
    # what is put over it: each value by itself
    row("good.toml --set B=0", 2, "--set: batch.B = 0: expected a whole number from 1"),
    row("good.toml --set T=0", 2, "--set: batch.T = 0: expected a whole number from 1"),
    row("good.toml --set accum=-2", 2, "--set: batch.accum = -2: expected a whole number from 1"),
    row("good.toml --set B=", 2, "--set: batch.B = '': expected a whole number"),
    row("good.toml --set lr=-1", 2, "--set: optimizer.lr = -1: expected a number from 0"),
    row("good.toml --set lr=inf", 2, "--set: optimizer.lr = inf: expected a number from 0"),
    row("good.toml --set lr=fast", 2, "--set: optimizer.lr = 'fast': expected a number from 0"),
    row("good.toml --set optimizer.clip=-1", 2, "--set: optimizer.clip = -1: expected a number from 0"),
    row("good.toml --set optimizer.betas=0.9", 2, "optimizer.betas = 0.9: expected two numbers"),
    row("good.toml --set model.kind=rnn", 2, "--set: model.kind = 'rnn': expected gpt, mlp or bigram"),
    row("good.toml --set seed=-1", 2, "--set: seed = -1: expected a whole number from 0 to 2^63 - 1"),
    row("good.toml --set sample.prompt=", 2, "sample.prompt = '': expected a text of at least one character"),
    row("good.toml --set data.text=", 2, "data.text = '': expected a text of at least one character"),
    row("good.toml --set device.name=gpu", 2, "device.name = 'gpu': expected auto, cuda, cuda:N"),
    row("good.toml --set data.tokenizer=bpe:100", 2, "data.tokenizer = 'bpe:100': expected", "256 <= N <= 65536"),
    row("good.toml --set data.val_fraction=1", 2, "data.val_fraction = 1: expected a number of at least 0 and below 1"),
    row("good.toml --steps 0", 2, "--steps: schedule.steps = 0: expected a whole number from 1"),
    row("good.toml --name ../x", 2, "--name: name = '../x': expected up to 64 letters"),
    row("good.toml --name ''", 2, "--name: name = '': expected up to 64 letters"),
    row(r"good.toml --name 'a\x1b[2Jb'", 2, r"--name: name = 'a\x1b[2Jb': expected up to 64 letters"),
    # and the keys and the words themselves
    row("good.toml --set lr", 2, "--set: 'lr': expected KEY=VALUE, as in lr=3e-4"),
    row("good.toml --set =3", 2, "--set: '=3': expected KEY=VALUE"),
    row("good.toml --set batch=3", 2, "--set: [batch]: this is a table; expected one of its keys"),
    row("good.toml --set model.head=3", 2, "--set: model.head = '3': no such key; did you mean model.heads?"),
    row("good.toml --set", 2, "--set: expected one argument", "--help"),
    row("good.toml --steps ten", 2, "--steps", "'ten'", "--help"),
    row("good.toml extra", 2, "unrecognized arguments: extra", "--help"),
    row("good.toml --frobnicate", 2, "unrecognized arguments: --frobnicate", "--help"),
    # values that do not go together
    row("good.toml --set model.heads=3", 2, "model.heads = 3: expected a number that divides model.width = 8"),
    row("good.toml --set model.context=2", 2, "batch.T = 4: expected at most model.context = 2"),
    row("good.toml --set schedule.warmup=4", 2, "schedule.warmup = 4: expected at most schedule.steps = 3"),
    row("good.toml --set lr=1e-9", 2, "optimizer.lr = 1e-09: expected at least schedule.min_lr = 0.0001"),
    row("good.toml --set model.kind=mlp", 2, "data.layout = 'stream'", "expected windows", "mlp"),
    row(
        "good.toml --set data.split=lines --set data.val_fraction=0.6", 2,
        "data.val_fraction = 0.6: expected below 0.5", "for validation and for test",
    ),
    # the corpus: named wrongly
    row("good.toml --set dataset=shakespear", 2, "data.dataset = 'shakespear'", "Did you mean shakespeare?"),
    row("good.toml --set dataset=missing.txt", 2, "missing.txt': does not exist", "Datasets: python-docs"),
    row(r"good.toml --set 'dataset=no\x1b[2J.txt'", 2, r"no\x1b[2J.txt': does not exist"),
    row("good.toml --set dataset=dangling.txt", 2, "dangling.txt: a symbolic link that leads nowhere"),
    row("good.toml --set dataset=pipe.txt", 2, "pipe.txt: a pipe, not a file or a folder of text"),
    row("good.toml --set data.tokenizer=gpt-2", 2, "data.tokenizer = 'gpt-2' is unknown", "Did you mean gpt2?"),
    row("good.toml --set dataset=tokens.bin", 2, "tokens.bin: a .bin holds token ids", "meta.pkl"),
    # the corpus: too short
    row("good.toml --set T=19", 2, "batch.T = 19 is too large: the training split has 19 tokens", "at most 18"),
    row("good.toml --set dataset=one.txt --set T=1", 2, "the training split has 1 token, too few for any row"),
    row(
        "good.toml --set dataset=two.txt --set T=1 --set data.val_fraction=0.6", 2,
        "data.val_fraction = 0.6: of 2 tokens it leaves none to train on",
    ),
    # the corpus: cannot be had
    row("good.toml --set dataset=empty.txt", 5, "empty.txt: is empty"),
    row("good.toml --set dataset=empty.txt --set data.tokenizer=byte", 5, "empty.txt: is empty"),
    row("good.toml --set dataset=only-a-mark.txt", 5, "only-a-mark.txt: is empty"),
    row("good.toml --set dataset=binary.dat", 5, "binary.dat: byte 0 is NUL, so this is a binary file", "byte"),
    row("good.toml --set dataset=image.txt", 5, "image.txt: ", "binary file and not text"),
    row("good.toml --set dataset=latin1.txt", 5, "latin1.txt: not UTF-8: byte 1 (0xf9)", "iconv"),
    row("good.toml --set dataset=utf16.txt", 5, "utf16.txt: is UTF-16, not UTF-8", "iconv"),
    row("good.toml --set dataset=pictures", 5, "pictures: the folder holds no text file"),
    row("good.toml --set dataset=odd.bin --set data.tokenizer=byte", 5, "odd.bin: has 201 bytes", "two-byte tokens"),
    row("good.toml --set dataset=tokens.bin --set data.tokenizer=byte", 5, "tokens.bin: holds token 256", "up to 255"),
    row("good.toml --set data.tokenizer=gpt2", 5, "tokenizer gpt2", "WORKBENCH_OFFLINE", "TIKTOKEN_CACHE_DIR"),
    row("good.toml --set dataset=shakespeare", 5, "shakespeare: it is not here and cannot be fetched", "--fetch"),
    row("good.toml --set dataset=names", 5, "names: it is not here", "0a30b5557f19", "names.txt"),
]  # fmt: skip

# What only a run that is to begin finds out.
HEADLESS = [
    row("good.toml --set sample.prompt=xyz", 2, "sample.prompt = 'xyz': character 'x' (U+0078) is not in the vocab"),
    row(r"good.toml --set 'sample.prompt=\x9b'", 2, r"sample.prompt", "(U+009B) is not in the vocabulary"),
    row("good.toml --set device.name=cuda", 2, "device.name = 'cuda': torch", "no CUDA device", "workbench doctor"),
    row("good.toml --set device.name=mps", 2, "device.name = 'mps': there is no Metal device"),
    row("good.toml --runs-dir file", 2, "file: a run cannot be made there (File exists)", "--runs-dir"),
    row("good.toml --runs-dir file/runs", 2, "file/runs: a run cannot be made there (Not a directory)"),
    row("good.toml --runs-dir /proc/nowhere", 2, "/proc/nowhere: a run cannot be made there", "WORKBENCH_RUNS"),
]

# The words that act on runs, and on data. `done-1`, `done-2`, `live`, `lost` and the like are made by `_place`.
WORDS = [
    row("set nobody lr=1", 2, "no run named 'nobody' in", "`workbench runs` lists them"),
    row("stop liev", 2, "no run named 'liev'", "did you mean live?"),
    row("stop done", 2, "'done' could be any of 2 runs", "done-1", "done-2"),
    row("stop ''", 2, "which run? give its name"),
    row("stop ./pictures", 2, "'./pictures' is not a run: expected a directory with a preset.toml"),
    row("stop ../nowhere", 2, "'../nowhere' is not a run"),
    row(r"stop 'a\x1b[2J'", 2, r"no run named 'a\x1b[2J'"),
    row("stop last --runs-dir pictures", 2, "pictures: there are no runs yet"),
    row("stop", 2, "the following arguments are required: RUN", "`workbench stop --help`"),
    row("set live", 2, "the following arguments are required: KEY=VALUE"),
    row("set live lr", 2, "'lr': expected KEY=VALUE"),
    row("set live optimizer.lrr=1", 2, "optimizer.lrr = '1': no such key; did you mean optimizer.lr?"),
    row("set live model.layers=3", 2, "model.layers: not a live key; it needs a new run"),
    row("set live lr=inf", 2, "optimizer.lr = inf: expected a number"),
    row("set live lr=2026-01-01", 2, "optimizer.lr = 2026-01-01: expected a number"),
    row("set live lr=1 --timeout nan", 2, "--timeout", "'nan': expected a number of seconds"),
    row("set live lr=1 --at soon", 2, "--at", "'soon'"),
    row("set live lr=1 --timeout 0.05", 1, "live: no answer within 0.05 s (running); the command was withdrawn"),
    row("set done-1 lr=1", 1, "done-1 is done: nobody is there to set it"),
    row("pause done-1", 1, "done-1 is done: nobody is there to pause it"),
    row("stop lost", 1, "lost is lost: nobody is there to stop it"),
    row("resume live", 2, "live is running", "there is nothing to resume"),
    row("resume nobody", 2, "no run named 'nobody'"),
    row("resume lost --set model.layers=2 --quiet", 2, "model.layers: not a live key, so it cannot change in a resume"),
    row("resume lost --set B=0 --quiet", 2, "batch.B = 0: expected a whole number from 1"),
    row("resume lost --steps 0 --quiet", 2, "schedule.steps = 0: expected a whole number from 1"),
    row("resume bad-status", 1, "bad-status/status.json: not JSON"),
    row("resume newer-status", 1, "newer-status/status.json: format 2 was written by a newer workbench"),
    row("resume bad-preset", 2, "bad-preset/preset.toml: batch.B = 0: expected a whole number"),
    row("replay nobody", 2, "no run named 'nobody'"),
    row("replay done-1 --name ../x --quiet", 2, "--name: name = '../x': expected up to 64 letters"),
    row("sample done-1", 2, "done-1 has no checkpoint yet"),
    row("eval done-1", 2, "done-1 has no checkpoint yet"),
    row("eval done-1 --split train", 2, "--split: invalid choice: 'train'", "'val', 'test'"),
    row("export done-1", 2, "one of the arguments --csv --jsonl is required"),
    row("export nobody --csv", 2, "no run named 'nobody'"),
    row("export bad-steps --csv", 1, "bad-steps/steps.json: not JSON"),
    row("rows nobody", 2, "no run named 'nobody'"),
    row("rows good.toml --step -1", 2, "--step -1: records are counted from 0"),
    row("rows good.toml --set T=100 --json", 2, "batch.T = 100 is too large"),
    row("rows done-1 --set lr=1", 2, "--set goes with a preset"),
    row("data nothing-here", 2, "'nothing-here': is neither a dataset nor a path that exists", "python-docs"),
    row("data --fetch", 2, "--fetch: which dataset?"),
    row("data text.txt --fetch", 2, "text.txt: a path has nothing to fetch"),
    row("data shakespeare --json", 5, "shakespeare: it is not here and cannot be fetched"),
    row("data empty.txt --json", 5, "empty.txt: is empty"),
    row("data text.txt --tokenizer word --json", 2, "data.tokenizer = 'word' is unknown; expected char, byte, bpe:N"),
    row("data text.txt --tokenizer gpt2 --json", 5, "TIKTOKEN_CACHE_DIR"),
    # the laboratory: numbers that no machine has, runs without a step, values that make no grid
    row(f"plan good.toml --tokens {'9' * 400}", 2, "--tokens: '9999", "at most 1,000,000,000,000,000"),
    row("plan good.toml --world 0", 2, "--world: '0': expected how many ranks"),
    row("plan good.toml --rate 1e-320", 2, "--rate: '1e-320': expected tokens a second"),
    row("plan good.toml --T 19", 2, "batch.T = 19 is too large: the training split has 19 tokens"),
    row("plan good.toml --save ''", 2, "--save '': expected a path"),
    row("plan good.toml --save nowhere/x.toml", 2, "nowhere: there is no such folder"),
    row("fit good.toml --tokens 4000000000000", 2, "expected at most 1,048,576 rows a step, which is 4,194,304"),
    row("fit good.toml --steps 1", 2, "--steps: '1': expected a whole number from 2"),
    row("fit good.toml --memory-limit 10EiB", 2, "'10EiB': expected a size of memory, such as 2GiB"),
    row(r"fit 'no\x1b[2J'", 2, r"no\x1b[2J: no such file and no shipped preset"),
    row("check accum good.toml --after 3", 2, "--after goes with `check gradient`"),
    row("check gradient good.toml --after 0", 2, "--after: '0': expected a number of steps"),
    row("sweep good.toml --set B=1,,2", 2, "batch.B = '': expected a whole number"),
    row("sweep good.toml --set B=1,1.0", 2, "--set B: 1 is there more than once"),
    row("sweep good.toml --set T=4,1000", 2, "T=1000: batch.T = 1000 is too large"),
    row("""sweep good.toml --set 'name="a","b"'""", 2, "--set name=…: it changes nothing that a run does"),
    row("sweep good.toml --seeds 1000", 2, "--seeds: '1000': expected how many seeds"),
    row("compare done-1", 2, "done-1: its worker has made no step yet"),
    row("compare bad-preset", 2, "bad-preset/preset.toml: batch.B = 0"),
    row("compare bad-steps", 1, "bad-steps/steps.json: not JSON"),
    row(r"lesson 'no\x1b[2J' --check", 2, r"no\x1b[2J: no such lesson and no such file"),
    row("--headless", 2, "which preset?"),
    row("--quiet", 2, "--quiet goes with --headless or --dry-run"),
    row("", 2, "the screen needs a terminal"),
    row("frobnicate --headless", 2, "frobnicate: no such file and no shipped preset"),
]


# ------------------------------------------------------------------------------------------ the place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every kind of bad file, and runs in every state."""
    folder = tmp_path_factory.mktemp("place")
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    (folder / "dangling.txt").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.txt")
    good = presets.to_toml(presets.load(str(folder / "good.toml")).preset)
    _run(folder, "done-1", good, state="done", step=3, exit_code=0)
    _run(folder, "done-2", good, state="done", step=3, exit_code=0)
    _run(folder, "live", good, state="running", step=1)
    _run(folder, "lost", good, state="running", step=1, pid=2**22 + 1)  # above Linux's largest pid
    (_run(folder, "bad-status", good) / "status.json").write_text("{nonsense")
    (_run(folder, "newer-status", good) / "status.json").write_text('{"format": 2}')
    (_run(folder, "bad-preset", good, state="interrupted") / "preset.toml").write_text("[batch]\nB = 0\n")
    (_run(folder, "bad-steps", good, state="interrupted") / "steps.json").write_text("[")
    return folder


def _run(folder: Path, name: str, preset: str, **changes: Any) -> Path:
    """A run as its worker leaves it before the first record; this process stands for a live one's."""
    made = directory.create(folder / "runs", name, preset)
    run = made.rename(folder / "runs" / name)
    document = {
        "format": 1, "state": "starting", "phase": "", "step": 0, "steps": 3, "attempt": 1, "exit_code": None,
        "reason": "", "pid": os.getpid(), "started": status.process_start(os.getpid()), "boot": status.boot_id(),
        "host": socket.gethostname(), "heartbeat": time.time(), "uptime": time.monotonic() + 3600,
    }  # fmt: skip
    (run / "status.json").write_text(json.dumps(document | changes))
    return run


@pytest.fixture(autouse=True)
def _surroundings(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The working directory, no network, empty caches; and afterwards the signal handlers, which a worker takes."""
    monkeypatch.chdir(place)
    monkeypatch.delenv("WORKBENCH_RUNS", raising=False)
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WORKBENCH_OFFLINE", "1")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "vocabularies"))
    tiktoken.registry.ENCODINGS.clear()  # what another test has loaded into this process
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def _refused(row: Row, arguments: list[str], place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _there(place)
    code = main(arguments)
    out, err = capsys.readouterr()
    assert (code, out) == (row.code, ""), err
    assert err.startswith("workbench: ")
    assert err.count("workbench: ") == 1, "one message"
    assert err.endswith("\n")
    assert err.replace("\n", "").isprintable()
    assert "Traceback" not in err
    for piece in row.says:
        assert piece in err
    assert _there(place) == before, "something was left behind"


def _there(place: Path) -> set[str]:
    """All files but the locks: a resume that is refused has held the run's."""
    return {str(path) for path in (*place.rglob("*"), *place.parent.glob("x*")) if path.name != "lock"}


def _words(command: str) -> list[str]:
    """The command as a shell would split it; \\x1b and \\x9b stand for those characters."""
    return shlex.split(command.replace(r"\x1b", "\x1b").replace(r"\x9b", "\x9b"))


# ------------------------------------------------------------------------------------------ the tests


@pytest.mark.parametrize("row", PRESETS, ids=lambda row: row.command or "nothing")
@pytest.mark.parametrize("how", ["--dry-run --quiet", "--headless --quiet --json"])
def test_a_bad_preset_or_corpus_is_refused(how: str, row: Row, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _refused(row, [*how.split(), *_words(row.command)], place, capsys)


@pytest.mark.parametrize("row", HEADLESS, ids=lambda row: row.command)
def test_a_run_that_cannot_begin_is_refused(row: Row, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if "device" in row.command:
        import torch

        if torch.cuda.is_available() or torch.backends.mps.is_available():
            pytest.skip("this machine has the device")
    _refused(row, ["--headless", "--quiet", *_words(row.command)], place, capsys)


@pytest.mark.parametrize("row", WORDS, ids=lambda row: row.command)
def test_a_bad_word_is_refused(row: Row, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _refused(row, _words(row.command), place, capsys)


def test_without_quiet_the_message_comes_last(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dry-run", "good.toml", "--set", "dataset=empty.txt"]) == 5
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("workbench: empty.txt: is empty")


def test_a_cache_that_cannot_be_written_is_told(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(place / "file" / "cache"))
    refused = row("", 5, "cache", "Not a directory", "WORKBENCH_CACHE")
    _refused(refused, ["--dry-run", "--quiet", "good.toml", "--set", "dataset=text.txt"], place, capsys)


def test_runs_lists_what_it_cannot_read_beside_the_others(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--json"]) == 0
    told = {line["run"]: line["state"] for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert told.pop("live") in ("running", "unresponsive")  # nobody has beaten its heart since the tests began
    assert told == {
        "done-1": "done", "done-2": "done", "lost": "lost", "bad-status": "unreadable",
        "newer-status": "unreadable", "bad-preset": "interrupted", "bad-steps": "unreadable",
    }  # fmt: skip
