"""Downloads, against a server of our own."""

import dataclasses
import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from workbench.data.catalog import Dataset
from workbench.data.fetch import FetchCancelled, fetch
from workbench.errors import DataError

CONTENT = b"".join(b"line %d of a text\n" % i for i in range(20_000))
DATASET = Dataset(
    name="sample",
    kind="fetched",
    about="",
    characters=len(CONTENT),
    lines=20_000,
    split="tail",
    file="sample.txt",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    bytes=len(CONTENT),
)


class Server(ThreadingHTTPServer):
    """Serves one file; the test says how it misbehaves."""

    content = CONTENT
    ranges = True  # honours Range
    stops_after = len(CONTENT) * 2  # bytes, and then it hangs up
    status = 200

    def handle_error(self, request, client_address):
        """A client that leaves early is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        self.server.asked.append(self.headers.get("Range"))
        content, begin = self.server.content, 0
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        if self.server.ranges and self.headers.get("Range"):
            begin = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        self.wfile.write(content[begin:][: self.server.stops_after])
        if self.server.stops_after < len(content) - begin:
            self.close_connection = True

    def log_message(self, *_args):
        pass


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.url = f"http://127.0.0.1:{running.server_port}/sample.txt"
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def downloads(cache, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return cache / "downloads"


def test_a_whole_download(server, downloads):
    told = []
    path = fetch(DATASET, url=server.url, progress=lambda what, share: told.append((what, share)))
    assert path == downloads / "sample.txt"
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in downloads.iterdir()] == ["sample.txt"]
    assert {what for what, _ in told} == {"fetching sample"}
    assert [share for _, share in told] == sorted(share for _, share in told)
    assert told[-1][1] == 1.0
    assert server.asked == [None]


def test_a_cut_download_is_resumed(server, downloads):
    server.stops_after = 100_000
    with pytest.raises(DataError, match=r"ended after 100000 of .*workbench data sample --fetch.*goes on"):
        fetch(DATASET, url=server.url)
    assert not (downloads / "sample.txt").exists()
    server.stops_after = len(CONTENT)
    assert fetch(DATASET, url=server.url).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_a_server_without_ranges_starts_again(server, downloads):
    downloads.mkdir(parents=True)
    (downloads / "sample.txt.part").write_bytes(b"something else")
    server.ranges = False
    assert fetch(DATASET, url=server.url).read_bytes() == CONTENT


def test_a_finished_part_needs_no_server(downloads):
    downloads.mkdir(parents=True)
    (downloads / "sample.txt.part").write_bytes(CONTENT)
    assert fetch(DATASET, url="http://127.0.0.1:9/").read_bytes() == CONTENT


def test_another_text_is_thrown_away(server, downloads):
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(DataError, match=f"expected {DATASET.sha256}"):
        fetch(DATASET, url=server.url)
    assert not (downloads / "sample.txt").exists()
    server.content = CONTENT
    assert fetch(DATASET, url=server.url).read_bytes() == CONTENT


def test_a_part_of_another_text_does_not_stand_in_the_way(server, downloads):
    downloads.mkdir(parents=True)
    (downloads / "sample.txt.part").write_bytes(b"x" * 1000)
    with pytest.raises(DataError, match="thrown away"):
        fetch(DATASET, url=server.url)
    assert fetch(DATASET, url=server.url).read_bytes() == CONTENT


def test_a_longer_text_is_not_read_to_its_end(server, downloads):
    server.content = CONTENT * 50
    server.stops_after = len(server.content)
    with pytest.raises(DataError, match="expected"):
        fetch(DATASET, url=server.url)
    assert not (downloads / "sample.txt").exists()


@pytest.mark.parametrize("status", [404, 500, 416])
def test_a_server_that_says_no(server, downloads, status):
    server.status = status
    with pytest.raises(DataError, match=rf"answered {status}"):
        fetch(DATASET, url=server.url)


def test_no_network(downloads):
    with pytest.raises(DataError) as error:
        fetch(DATASET, url="http://127.0.0.1:9/sample.txt")
    assert error.value.exit_code == 5
    for told in ("workbench data sample --fetch", str(downloads / "sample.txt"), "data.dataset", DATASET.sha256):
        assert told in str(error.value)


def test_a_server_that_goes_silent(downloads):
    import socket
    import time

    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        with pytest.raises(DataError, match="timed out"):
            fetch(DATASET, url=f"http://127.0.0.1:{mute.getsockname()[1]}/", timeout=0.2)
        assert time.monotonic() - began < 5


def test_offline_asks_nobody(server, downloads, monkeypatch):
    monkeypatch.setenv("WORKBENCH_OFFLINE", "1")
    with pytest.raises(DataError, match="WORKBENCH_OFFLINE"):
        fetch(DATASET, url=server.url)
    assert server.asked == []


def test_cancelled_and_resumed(server, downloads):
    calls = iter([False, False, True])
    with pytest.raises(FetchCancelled):
        fetch(DATASET, url=server.url, cancelled=lambda: next(calls))
    had = (downloads / "sample.txt.part").stat().st_size
    assert 0 < had < len(CONTENT)
    assert fetch(DATASET, url=server.url).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={had}-"]


def test_two_at_once_do_not_mix(server, downloads):
    errors = []

    def one():
        try:
            fetch(DATASET, url=server.url)
        except DataError as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (downloads / "sample.txt").read_bytes() == CONTENT
    assert os.listdir(downloads) == ["sample.txt"]


def test_every_fetched_dataset_is_pinned():
    from workbench.data.catalog import DATASETS

    fetched = [dataset for dataset in DATASETS.values() if dataset.kind == "fetched"]
    assert len(fetched) == 2
    for dataset in fetched:
        assert dataset.url.startswith("https://")
        assert len(dataset.sha256) == 64
        assert dataset.bytes > 0
        assert dataclasses.replace(dataset, file="").path is None
