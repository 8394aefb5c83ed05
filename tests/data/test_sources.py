"""Files and folders as raw bytes: what is read, what is left out, what is refused."""

import os
from pathlib import Path

import pytest

from workbench.data.sources import FileSource, FolderSource, open_path
from workbench.errors import DataError, UsageError


def read(source):
    return b"".join(chunk.data for chunk in source.chunks())


def test_a_folder_is_its_text_files_by_path(tmp_path):
    for name, data in {
        "b.txt": b"second",
        "a/z.md": b"first\n",
        "c.PY": b"third",
        "empty.txt": b"",
        ".hidden.txt": b"no",
        ".git/config.txt": b"no",
        "image.png": b"no",
        "data.bin": b"no",
        "looks.txt": b"a binary\0file",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    source = FolderSource(tmp_path)
    assert read(source) == b"first\nsecond\nthird"
    assert source.skipped == 1
    assert read(source) == b"first\nsecond\nthird"
    assert source.skipped == 1


def test_chunks_say_where_they_stand(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one")
    (tmp_path / "b.txt").write_bytes(b"two")
    chunks = FolderSource(tmp_path).chunks()
    where = [(chunk.data, os.path.basename(chunk.origin), chunk.offset) for chunk in chunks]
    assert where == [(b"one", "a.txt", 0), (b"\n", "a.txt", 3), (b"two", "b.txt", 0)]


def test_links_cannot_make_a_folder_endless(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "up").symlink_to(tmp_path)
    (tmp_path / "self.txt").symlink_to(tmp_path / "self.txt")
    (tmp_path / "other.txt").symlink_to(tmp_path / "a.txt")
    source = FolderSource(tmp_path)
    assert read(source) == b"text\ntext"
    assert source.skipped == 1


def test_a_pipe_in_a_folder_is_left_out_and_named_itself_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "a.txt").write_text("text")
    source = FolderSource(tmp_path)
    assert read(source) == b"text"
    assert source.skipped == 1
    with pytest.raises(UsageError, match="pipe"):
        open_path(tmp_path / "pipe.txt")


def test_a_device_is_refused():
    with pytest.raises(UsageError, match="device"):
        open_path(Path("/dev/null"))


def test_a_folder_without_text(tmp_path):
    (tmp_path / "a.png").write_text("x")
    with pytest.raises(DataError, match="no text file"):
        FolderSource(tmp_path)


def test_a_file_that_changes_while_it_is_read(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 3_000_000)
    source = FileSource(path)
    chunks = source.chunks()
    next(chunks)
    path.write_bytes(b"y")
    with pytest.raises(DataError, match="changed while"):
        list(chunks)


def test_a_file_that_changed_since_it_was_named(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one")
    source = FileSource(path)
    path.write_text("two")  # the same size, in the same place, at once
    with pytest.raises(DataError, match="changed while"):
        read(source)


def test_identity_follows_content_and_place(tmp_path):
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    a.write_text("text")
    b.symlink_to(a)
    first = FileSource(a).identity()
    assert FileSource(b).identity() == first
    a.write_text("tent")
    assert FileSource(a).identity() != first
    folder = FolderSource(tmp_path).identity()
    a.rename(tmp_path / "c.txt")
    assert FolderSource(tmp_path).identity() != folder


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("text")
    path.chmod(0)
    with pytest.raises(DataError, match="cannot be read"):
        read(FileSource(path))
