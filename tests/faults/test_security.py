"""What a run writes is its owner's alone, it listens to nobody else, and nothing it reads is executed."""

import ast
import dataclasses
import hashlib
import json
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pseudo_terminal import PseudoTerminal
from tiny_runs import GPT, TEXT, Train, document

import workbench as package
from workbench import preset as presets
from workbench.data import cache
from workbench.data.catalog import DATASETS, Dataset
from workbench.data.fetch import fetch
from workbench.errors import DataError
from workbench.preset import saving
from workbench.runs import commands
from workbench.runs.commands import Bad, Inbox

if TYPE_CHECKING:
    from conftest import Command

PRESET = """\
name = "small"
[data]
text = "To be or not to be, that is the question."
val_fraction = 0.3
[batch]
B = 2
T = 4
[model]
layers = 1
heads = 1
width = 8
[schedule]
kind = "constant"
steps = 1000000000
warmup = 0
[eval]
every = 2000
[checkpoint]
every = 2000
[sample]
every = 2000
tokens = 5
[device]
threads = 1
"""
SECRET = "hunter2-4c1f9e"
"""The value of an environment variable, which no file of a run may hold."""


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """What in a folder, itself included, anyone but its owner may touch."""
    found = []
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if mode != (0o700 if path.is_dir() else 0o600):
            found.append(f"{path.relative_to(folder.parent)}: {mode:04o}")
    return found


# ------------------------------------------------------------------------------------------ modes


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077], ids=["umask-000", "umask-022", "umask-077"])
def test_what_a_run_makes_is_its_owners_alone(
    mask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: Callable[[int], None], train: Train,
    resume: Train,
) -> None:  # fmt: skip
    """The runs folder and the cache too, where workbench makes them: who may rename in them may swap a run's files."""
    umask(mask)
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "corpus.txt").write_text(TEXT)
    doc = document(GPT, data={"dataset": str(tmp_path / "corpus.txt")})
    edit = {"command": "set", "changes": {"optimizer.lr": 0.01}, "at": 5}
    ran = train(doc, at_start=[edit, {"command": "inspect"}, {"command": "rewind", "at": 25}])
    assert ran.outcome.state == "done"
    assert {"eval", "sample", "checkpoint", "edit", "resume"} <= {e["type"] for e in ran.events}
    resume(ran.path, {"schedule.steps": 50}, at_start=[{"command": "save"}])
    assert list((ran.path / "inspect").iterdir())
    assert list((ran.path / "checkpoints").iterdir())
    assert list((tmp_path / "cache").rglob("*.*"))
    assert open_to_others(tmp_path / "runs") == []
    assert open_to_others(tmp_path / "cache") == []


def test_what_is_saved_for_others_to_read_follows_the_umask(tmp_path: Path, umask: Callable[[int], None]) -> None:
    """A preset is a document, like any that an editor saves; one that was private stays private."""
    umask(0o022)
    preset = presets.from_document(GPT, source="test")
    saving.save(tmp_path / "mine.toml", preset)
    assert stat.S_IMODE((tmp_path / "mine.toml").stat().st_mode) == 0o644
    (tmp_path / "mine.toml").chmod(0o600)
    saving.save(tmp_path / "mine.toml", preset)
    assert stat.S_IMODE((tmp_path / "mine.toml").stat().st_mode) == 0o600


# ------------------------------------------------------------------------------------------ sockets


def sockets(pid: int) -> list[str]:
    """The sockets of a process that are no AF_UNIX ones: those reach beyond the machine's own processes."""
    found = []
    unix = {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines()[1:]}
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(fd)
        except OSError:
            continue
        if target.startswith("socket:") and target[8:-1] not in unix:
            found.append(target)
    return found


def any_socket(pid: int) -> list[str]:
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(fd))
        except OSError:
            continue
    return [target for target in found if target.startswith("socket:")]


_LISTENING = """
import sys
opened = []
def hear(name, arguments):
    if (name, arguments) == ("ctypes.dlopen", (None,)):
        return  # the program itself: no other library
    if name in ("socket.__new__", "socket.bind", "socket.connect", "socket.getaddrinfo", "socket.sendto"):
        opened.append((name, repr(arguments)[:200]))
sys.addaudithook(hear)
from workbench.cli import main
code = main()
print("OPENED", opened, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="it is /proc that tells a process's sockets")
def test_a_run_opens_no_socket_and_its_screen_none_to_a_network(workbench: "Command") -> None:
    """The worker none at all, from its first line to its last; the screen those within itself that asyncio needs."""
    (workbench.folder / "small.toml").write_text(PRESET)
    worker = workbench.start("--headless", "small.toml", "--quiet", python=("-c", _LISTENING))
    seen: list[str] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (workbench.runs.exists() and list(workbench.runs.glob("*/steps.bin"))):
        seen += any_socket(worker.pid)
        time.sleep(0.05)
    run = workbench.run()
    screen = PseudoTerminal(["attach", str(run)])
    try:
        screen.until("predictions")
        assert sockets(screen.process.pid) == []
        assert any_socket(worker.pid) == []
    finally:
        screen.close()
    commands.wait(run, commands.send(run, "stop"), timeout=30)
    _, err = worker.communicate(timeout=60)
    assert seen == []
    assert "OPENED []" in err, err


# ------------------------------------------------------------------------------------------ commands


def test_commands_come_from_the_owner_alone(tmp_path: Path, train: Train, umask: Callable[[int], None]) -> None:
    umask(0o000)
    run = tmp_path / "run"
    run.mkdir()
    inbox = Inbox(run)
    folder = run / "commands"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700, "nobody else may put a file there"
    own = commands.send(run, "pause")
    assert stat.S_IMODE((folder / f"{own}.json").stat().st_mode) == 0o600
    text = (folder / f"{own}.json").read_text()
    (tmp_path / "elsewhere.json").write_text(text.replace(own, "linked"))
    (folder / "linked.json").symlink_to(tmp_path / "elsewhere.json")
    told = {found.id: found for found in inbox.poll()}
    assert told[own].command == "pause"  # type: ignore[union-attr]
    assert isinstance(told["linked"], Bad)
    inbox.remove("linked")
    assert (tmp_path / "elsewhere.json").exists(), "the link goes, and not what it leads to"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to someone else")
def test_another_users_command_is_refused(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    id = commands.send(tmp_path, "stop")
    os.chown(tmp_path / "commands" / f"{id}.json", 65534, 65534)
    (found,) = inbox.poll()
    assert isinstance(found, Bad)
    assert "not a plain file of this user" in found.reason


# ------------------------------------------------------------------------------------------ downloads

CONTENT = b"a text\n" * 1000
DATASET = Dataset(
    "sample", "fetched", "", characters=len(CONTENT), lines=1000, split="tail", file="sample.txt",
    sha256=hashlib.sha256(CONTENT).hexdigest(), bytes=len(CONTENT),
)  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """/redirect leads to /text; /endless never ends; anything else is the text."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        if self.path.startswith("/redirect"):
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/text")  # type: ignore[attr-defined]
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * len(CONTENT) if self.path == "/other" else CONTENT)
        while self.path == "/endless":
            self.server.sent += self.wfile.write(b"x" * 65536)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None: ...


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is what some tests are about."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "WORKBENCH_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with Server(("127.0.0.1", 0), Handler) as running:
        running.asked, running.sent = [], 0  # type: ignore[attr-defined]
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.shutdown()


def url(server: Any, path: str) -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def test_every_address_is_https_and_every_download_has_a_hash() -> None:
    fetched = [dataset for dataset in DATASETS.values() if dataset.kind == "fetched"]
    assert fetched
    for dataset in fetched:
        assert dataset.url.startswith("https://")
        assert re.fullmatch(r"[0-9a-f]{64}", dataset.sha256)
        assert dataset.bytes > 0
    for source in sources():
        for found in re.findall(r"http://[^\s\"')]+", source.read_text()):
            raise AssertionError(f"{source}: {found}")


def test_a_redirect_leads_to_https_or_nowhere(server: Any) -> None:
    with pytest.raises(DataError, match=r"redirected to http://.*not https"):
        fetch(DATASET, url=url(server, "/redirect"))
    assert server.asked == ["/redirect"]
    assert not (cache.root() / "downloads" / "sample.txt").exists()


def test_another_hash_leaves_nothing(server: Any) -> None:
    with pytest.raises(DataError, match="thrown away"):
        fetch(DATASET, url=url(server, "/other"))
    assert sum(path.stat().st_size for path in (cache.root() / "downloads").iterdir()) == 0


def test_a_body_without_an_end_is_cut_off(server: Any) -> None:
    with pytest.raises(DataError, match="expected"):
        fetch(DATASET, url=url(server, "/endless"))
    deadline = time.monotonic() + 10
    sent = -1
    while sent != server.sent and time.monotonic() < deadline:
        sent = server.sent
        time.sleep(0.2)
    assert sent < 32 << 20, "what a socket's buffers hold, and no more"
    assert sum(path.stat().st_size for path in (cache.root() / "downloads").iterdir()) == 0


def test_a_download_is_private(server: Any, umask: Callable[[int], None]) -> None:
    umask(0o000)
    assert fetch(DATASET, url=url(server, "/text")).read_bytes() == CONTENT
    assert open_to_others(cache.root()) == []
    assert fetch(dataclasses.replace(DATASET, file="again.txt"), url=url(server, "/text")).exists()


# ------------------------------------------------------------------------------------------ nothing is executed

NEVER = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.execvp", "os.spawnv",
    "pty.spawn", "subprocess.getoutput", "subprocess.getstatusoutput", "torch.load", "torch.save", "torch.jit.load",
    "np.load", "numpy.load", "np.save", "yaml.load", "tempfile.mktemp", "asyncio.create_subprocess_shell",
    "code.interact", "runpy.run_path", "runpy.run_module", "ssl._create_unverified_context",
    "torch.hub.load",
}  # fmt: skip
MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "code", "runpy"}
IMPORTS_BY_NAME = {
    ("cli.py", "_word"): "words of our own table, whose modules are imported when they are used",
    ("data/fetch.py", "_trust"): "certifi, where there is one",
    ("data/embedded.py", "*"): "pydoc_data.topics, the text of a dataset",
    ("training/trials/__main__.py", "*"): "a trial of our own table",
}
"""Where a module is imported by a name that is computed, and from what."""


def sources() -> list[Path]:
    return sorted(Path(package.__file__).parent.rglob("*.py"))


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"


def dangers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each place in a module that could execute what it is given: its line, and what it calls or imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
            for name in modules:
                if name.partition(".")[0] in MODULES:
                    yield node.lineno, f"import {name}"
            if isinstance(node, ast.ImportFrom):
                for name in names:
                    if f"{node.module}.{name}" in NEVER:
                        yield node.lineno, f"{node.module}.{name}"
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            if name in NEVER or name.removeprefix("builtins.") in NEVER:
                yield node.lineno, name
            elif name.endswith("import_module") and not (node.args and isinstance(node.args[0], ast.Constant)):
                yield node.lineno, "import_module"
            for keyword in node.keywords:
                plain = isinstance(keyword.value, ast.Constant) and not keyword.value.value
                if keyword.arg in ("shell", "allow_pickle") and not plain:
                    yield node.lineno, f"{keyword.arg}="


def test_no_source_can_execute_what_it_reads() -> None:
    found = []
    for source in sources():
        name = source.relative_to(Path(package.__file__).parent).as_posix()
        for line, what in dangers(ast.parse(source.read_text())):
            if what == "import_module" and name in {file for file, _ in IMPORTS_BY_NAME}:
                continue
            found.append(f"{name}:{line}: {what}")
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "eval(x)", "exec(x)", "compile(x, '', 'exec')", "import pickle", "from pickle import loads", "os.system(x)",
        "subprocess.run(x, shell=True)", "subprocess.run(x, shell=y)", "torch.load(x)", "np.load(x)",
        "importlib.import_module(x)", "__import__(x)", "tempfile.mktemp()", "from os import popen", "builtins.eval(x)",
    ],
)  # fmt: skip
def test_the_search_finds(text: str) -> None:
    assert list(dangers(ast.parse(text)))


_AUDITED = """
import sys
import torch, workbench.headless, workbench.training.worker, workbench.training.offline
from pathlib import Path
found, seen = set(), set()
def hear(name, arguments):
    if (name, arguments) == ("ctypes.dlopen", (None,)):
        return  # the program itself: no other library
    if name in ("pickle.find_class", "marshal.load", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen",
                "pty.spawn", "urllib.Request", "ctypes.dlopen"):
        found.add((name, repr(arguments)[:200]))
    elif name == "compile" and b"To be or not" in bytes(str(arguments[0]), "utf-8"):  # torch makes code of its own
        found.add((name, repr(arguments)[:200]))
sys.addaudithook(hear)
from workbench.cli import main
for words in (["--headless", "small.toml", "--quiet", "--steps=40", "--set=eval.every=20", "--set=checkpoint.every=20"],
              ["resume", "last", "--quiet", "--steps=50"], ["sample", "last", "--tokens=5"], ["eval", "last"],
              ["export", "last", "--jsonl"]):
    found.clear()
    code = main(words)
    seen |= {(words[0], *what) for what in found}
    assert code == 0, (words, code)
print("FOUND", sorted(seen), file=sys.stderr)
"""


def test_a_run_unpickles_nothing_and_starts_nothing(workbench: "Command") -> None:
    (workbench.folder / "small.toml").write_text(PRESET)
    process = workbench.start(python=("-c", _AUDITED), env={"SECRET_TOKEN": SECRET})
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "FOUND []" in err, err
    files = [path for path in workbench.runs.rglob("*") if path.is_file()]
    assert len(files) > 8
    held = [path.name for path in files if SECRET.encode() in path.read_bytes()]
    assert held == [], "nothing of the environment is kept"
    resolved = json.loads((workbench.run() / "resolved.json").read_text())
    assert os.environ["PATH"] not in json.dumps(resolved)
