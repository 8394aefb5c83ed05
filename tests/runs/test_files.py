"""Files that are there whole or not at all, private ones, and a lock that dies with its process."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.runs import files
from workbench.runs.files import Lock, check_format, dump, on_a_network, read_json, replace, replace_json

HOLDER = """
import sys, time
from pathlib import Path
from workbench.runs.files import Lock
print(Lock(Path(sys.argv[1])).acquire(), flush=True)
time.sleep(60)
"""


def test_json_is_one_strict_line_of_ascii() -> None:
    assert dump({"a": 1.5, "b": ["é", "\x1b[2J", None]}) == '{"a":1.5,"b":["\\u00e9","\\u001b[2J",null]}'
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError):
            dump({"a": value})


@pytest.mark.parametrize("durable", [False, True])
def test_a_replaced_file_is_private_and_leaves_nothing_aside(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "file.json"
    before = os.umask(0)
    try:
        replace(path, b"old", durable=durable)
        replace(path, b"new", durable=durable)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_replacement_leaves_the_old_file_and_nothing_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.json"
    replace(path, b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace(path, b"new", durable=True)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_finds_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path, over = tmp_path / "file.json", threading.Event()
    replace_json(path, {"format": 1, "n": 0, "pad": ""})

    def write() -> None:
        n = 0
        while not over.is_set():
            n += 1
            replace_json(path, {"format": 1, "n": n, "pad": "x" * (n % 7 * 10_000)})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        last = -1
        for _ in range(300):
            document = read_json(path)
            assert len(document["pad"]) == document["n"] % 7 * 10_000
            assert document["n"] >= last
            last = document["n"]
    finally:
        over.set()
        writer.join()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "not JSON"),
        (b'{"format": 1, ', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "expected a JSON object"),
        (b"{}", "no `format`"),
        (b'{"format": true}', "no `format`"),
        (b'{"format": 0}', "no `format`"),
        (b'{"format": "1"}', "no `format`"),
        (b'{"format": 2}', "format 2 was written by a newer workbench.*upgrade"),
    ],
)
def test_a_file_that_is_no_object_of_ours_is_named(tmp_path: Path, data: bytes, told: str) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(data)
    with pytest.raises(WorkbenchError, match=told) as raised:
        read_json(path)
    assert str(path) in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"absent\.json: cannot be read \(No such file"):
        read_json(tmp_path / "absent.json")
    check_format({"format": 1}, "here")


def test_one_lock_at_a_time(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert first.acquire()
    assert first.supported
    assert not second.acquire()
    first.release()
    first.release()
    assert second.acquire()
    second.release()


def test_a_killed_process_holds_no_lock(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout
        assert holder.stdout.readline().strip() == "True"
        lock = Lock(tmp_path / "lock")
        assert not lock.acquire()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert lock.acquire()
        lock.release()
    finally:
        holder.kill()
        holder.communicate()


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    """A worker's own children, a doctor's say, must not keep its run locked when it dies."""
    lock = Lock(tmp_path / "lock")
    assert lock.acquire()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
    try:
        time.sleep(0.2)
        lock.release()
        assert Lock(tmp_path / "lock").acquire()
    finally:
        child.kill()
        child.wait()


def test_a_file_system_without_locks_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, what: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    lock = Lock(tmp_path / "lock")
    assert lock.acquire()
    assert not lock.supported
    lock.release()


def test_whether_another_machine_serves_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mount:
        def __init__(self, mountpoint: Path, fstype: str) -> None:
            self.mountpoint, self.fstype = str(mountpoint), fstype

    home, shared = tmp_path.resolve(), tmp_path.resolve() / "shared"
    mounts = [Mount(Path("/"), "ext4"), Mount(shared, "nfs4"), Mount(home, "ext4"), Mount(shared / "ssh", "fuse.sshfs"),
              Mount(shared / "disk", "ext4")]  # fmt: skip
    monkeypatch.setattr(files.psutil, "disk_partitions", lambda all: mounts)
    assert not on_a_network(home)
    assert on_a_network(shared / "runs")
    assert on_a_network(shared / "ssh")
    assert not on_a_network(shared / "disk" / "runs")
    assert not on_a_network(home / "shared-by-nobody")
