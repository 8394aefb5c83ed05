"""Preparing a corpus in a process of its own: what is told, what is kept, how it ends."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from workbench.data.corpus import open_corpus, open_kept
from workbench.data.entropy import floors
from workbench.data.floors import kept_floors
from workbench.data.prepare import Preparation

ROOT = Path(__file__).parents[2]
TEXT = "".join(f"line {i} of a text, {i * i}\n" for i in range(9000))


def until(what, timeout=60):
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.005)


@pytest.fixture
def prepare():
    """A Preparation that does not outlive its test."""
    started = []

    def start(data, **keys):
        started.append(Preparation(data, **keys))
        return started[-1]

    yield start
    for preparation in started:
        preparation.close()
        if hasattr(preparation, "_process"):
            preparation._process.wait(timeout=60)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """200 MB, so that it can be stopped in the middle of it."""
    path = tmp_path_factory.mktemp("big") / "big.txt"
    piece = ("naïve " * 700_000 + "\n").encode()
    with path.open("wb") as file:
        for _ in range(41):
            file.write(piece)
    yield path
    path.unlink()


def left_in(cache):
    return sorted(path.name for path in (cache / "corpora").iterdir()) if (cache / "corpora").exists() else []


@pytest.mark.parametrize(
    "keys",
    [{"tokenizer": "char"}, {"tokenizer": "byte"}, {"tokenizer": "bpe:300"}, {"split": "lines", "layout": "windows"}],
)
def test_what_it_leaves_opens_at_once(table, cache, text, prepare, keys):
    data = table(dataset=text, **keys)
    assert open_kept(data) is None
    preparation = prepare(data)
    assert (preparation.ready, preparation.done, preparation.phase) == (False, False, "starting")
    until(lambda: preparation.ready or preparation.done)
    assert (preparation.error, preparation.ready) == ("", True)
    corpus = open_kept(data)
    assert corpus is not None
    until(lambda: preparation.done)
    assert preparation.phase == ""
    assert preparation.floors == kept_floors(corpus) == floors(open_corpus(data))


def test_a_typed_sentence_is_counted_too(table, cache, prepare):
    data = table(text="To be or not to be. " * 50)
    preparation = prepare(data)
    until(lambda: preparation.done)
    assert (preparation.error, preparation.floors) == ("", floors(open_corpus(data)))
    assert not cache.exists()


def test_it_says_what_it_is_at(table, cache, big, prepare):
    preparation = prepare(table(dataset=big))
    seen = []

    def look():
        if preparation.phase not in seen:
            seen.append(preparation.phase)
        return preparation.done or preparation.phase.startswith("tokenising")

    until(look)
    shares = [int(phase.removeprefix("reading ").removesuffix("%")) for phase in seen if phase.startswith("reading ")]
    assert len(shares) > 2
    assert shares == sorted(shares)
    waited, wait = [], preparation._process.wait
    preparation._process.wait = lambda **how: (waited.append(threading.current_thread()), wait(**how))[1]
    preparation.cancel()
    assert threading.current_thread() not in waited, "nobody waits for its end"
    assert (preparation.done, preparation.error, preparation.phase) == (True, "", "")
    assert preparation._process.wait(timeout=60) == 128 + signal.SIGTERM
    assert left_in(cache) == []
    assert not preparation.ready


@pytest.mark.usefixtures("gpt2")
def test_threads_that_tokenise_end_when_told(table, cache, tmp_path, prepare):
    (path := tmp_path / "text.txt").write_text(TEXT * 120)
    preparation = prepare(table(dataset=path, tokenizer="gpt2"))
    until(lambda: preparation.phase.startswith("tokenising ") or preparation.done)
    assert not preparation.done
    preparation.cancel()
    assert preparation._process.wait(timeout=60) == 128 + signal.SIGTERM, "and not killed after its patience"
    assert left_in(cache) == []


def test_one_that_hears_no_signal_is_killed_after_a_while(table, cache, big, prepare, monkeypatch):
    monkeypatch.setattr("workbench.data.prepare._PATIENCE", 0.2)
    preparation = prepare(table(dataset=big))
    until(lambda: preparation.phase.startswith("reading") or preparation.done)
    preparation._process.send_signal(signal.SIGSTOP)  # as deaf as one that trains a BPE
    preparation.cancel()
    try:
        assert preparation._process.wait(timeout=20) == -signal.SIGKILL
    finally:
        preparation._process.kill()


def test_what_is_no_text(table, cache, tmp_path, prepare):
    (tmp_path / "bad.txt").write_bytes("text".encode("utf-16"))
    preparation = prepare(table(dataset=tmp_path / "bad.txt"))
    until(lambda: preparation.done)
    assert "bad.txt: is UTF-16" in preparation.error
    assert (preparation.ready, preparation.floors) == (False, None)


def test_a_process_that_dies_is_an_error(table, cache, big, prepare):
    preparation = prepare(table(dataset=big))
    until(lambda: preparation.phase.startswith("reading"))
    preparation._process.kill()
    until(lambda: preparation.done)
    assert "signal 9" in preparation.error


def test_modules_of_the_working_directory_stay_out(table, cache, text, prepare, tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise SystemExit('not me')")
    monkeypatch.chdir(tmp_path)
    preparation = prepare(table(dataset="text.txt"))
    until(lambda: preparation.done)
    assert (preparation.error, preparation.ready) == ("", True)


def serve(request, *, python=(), **more):
    """The other end by itself."""
    return subprocess.Popen(
        [sys.executable, *(python or ("-m", "workbench.data.prepare"))],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more,
    ), json.dumps({"format": 1, "fetch": False, **request}).encode()  # fmt: skip


def test_the_lines_that_it_speaks(cache, text):
    process, request = serve({"data": {"dataset": str(text)}})
    out, err = process.communicate(request, timeout=60)
    said = [json.loads(line) for line in out.splitlines()]
    assert (process.returncode, err) == (0, b"")
    assert [next(iter(line)) for line in said if "phase" not in line] == ["ready", "floors"]
    assert list(dict.fromkeys(line["phase"] for line in said if "phase" in line)) == [
        "reading",
        "tokenising",
        "counting n-grams",
    ]
    assert set(said[-1]["floors"]) == {"uniform", "unigram", "bigram", "trigram", "counted", "scored"}


@pytest.mark.parametrize(
    ("data", "exit_code", "told"),
    [
        ({"dataset": "/nowhere/x.txt"}, 2, "does not exist"),
        ({"dataset": "shakespeare"}, 5, "to be fetched"),
        ({"text": "ab", "dataset": "", "tokenizer": "p50k_base"}, 5, "to be fetched"),
    ],
)
def test_errors_and_their_exit_codes(cache, tmp_path, data, exit_code, told):
    process, request = serve({"data": data}, env=os.environ | {"TIKTOKEN_CACHE_DIR": str(tmp_path / "none")})
    out, _ = process.communicate(request, timeout=60)
    said = json.loads(out.splitlines()[-1])
    assert (process.returncode, said["exit_code"]) == (exit_code, exit_code)
    assert told in said["error"]


def test_nobody_listening_ends_it_quietly(cache, big):
    process, request = serve({"data": {"dataset": str(big)}})
    process.stdin.write(request)
    process.stdin.close()
    while b"tokenising" not in process.stdout.readline():
        pass
    process.stdout.close()
    assert process.wait(timeout=60) == 128 + signal.SIGPIPE
    assert process.stderr.read() == b""
    process.stderr.close()
    assert left_in(cache) == []


def test_it_imports_no_torch_and_no_screen(cache, text):
    program = (
        "import sys; from workbench.data import prepare; code = prepare.main()\n"
        "print([m for m in ('torch', 'textual', 'tiktoken', 'requests') if m in sys.modules], code, file=sys.stderr)"
    )
    process, request = serve({"data": {"dataset": str(text)}}, python=("-c", program))
    _, err = process.communicate(request, timeout=60)
    assert err.decode().strip() == "[] 0"


@pytest.fixture
def sample(cache, tmp_path, monkeypatch):
    """A dataset `sample`, in the catalog of processes that we start, served slowly by a server of our own."""
    content = TEXT.encode()
    gate = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked += 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            half = len(content) // 2
            self.wfile.write(content[:half])
            gate.wait(20)
            self.wfile.write(content[half:])

        def log_message(self, *_args):
            pass

    class Server(ThreadingHTTPServer):
        asked = 0
        daemon_threads = True

        def handle_error(self, request, client_address):
            """A client that leaves early is what this is about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text(
            "from workbench.data.catalog import DATASETS, Dataset\n"
            f"DATASETS['sample'] = Dataset('sample', 'fetched', '', {len(TEXT)}, 9000, 'tail', 'sample.txt',\n"
            f"    'http://127.0.0.1:{server.server_port}/', '{hashlib.sha256(content).hexdigest()}', {len(content)})\n"
        )
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.syspath_prepend(tmp_path / "site")
        server.gate = gate
        yield server
        gate.set()
        server.shutdown()
        thread.join()


def test_nothing_is_fetched_unasked(table, sample, prepare):
    preparation = prepare(table(dataset="sample"))
    until(lambda: preparation.done)
    assert "sample: it is to be fetched" in preparation.error
    assert sample.asked == 0


def test_fetching_is_told_cancelled_and_gone_on_with(table, sample, cache, prepare):
    first = prepare(table(dataset="sample"), fetch=True)
    until(lambda: first.phase.startswith("fetching sample") and first.phase.endswith("%"))
    first.cancel()
    first._process.wait(timeout=60)
    assert first.error == ""
    assert [path.name for path in (cache / "downloads").iterdir()] == ["sample.txt.part"]
    sample.gate.set()
    second = prepare(table(dataset="sample"), fetch=True)
    until(lambda: second.done)
    assert (second.error, second.ready) == ("", True)
    assert (cache / "downloads" / "sample.txt").read_bytes() == TEXT.encode()
    assert [path.name for path in (cache / "downloads").iterdir()] == ["sample.txt"]
