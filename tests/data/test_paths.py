"""Completion of paths, in real folders."""

import os

import pytest

from workbench.data import paths
from workbench.data.paths import common, complete


@pytest.fixture
def folder(tmp_path):
    for name in ("data", "docs", ".hidden"):
        (tmp_path / name).mkdir()
    for name in ("data.txt", "notes.txt", "naïve.txt", ".dotted", "data/a.txt", "data/b.txt"):
        (tmp_path / name).write_text("x")
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("", ["data/", "data.txt", "docs/", "naïve.txt", "notes.txt"]),
        ("d", ["data/", "data.txt", "docs/"]),
        ("data", ["data/", "data.txt"]),
        ("data/", ["data/a.txt", "data/b.txt"]),
        ("data/b", ["data/b.txt"]),
        ("./da", ["./data/", "./data.txt"]),
        ("docs/../no", ["docs/../notes.txt"]),
        ("na", ["naïve.txt"]),
        (".", [".dotted", ".hidden/"]),
        ("data/..", ["data/../"]),
        ("docs/", []),
        ("nowhere/x", []),
        ("notes.txt/", []),
        ("data\0", []),
        ("\0/", []),
    ],
)
def test_what_is_offered(folder, typed, offered):
    assert complete(typed, folder) == offered


def test_absolute_paths_do_not_care_where(folder):
    assert complete(f"{folder}/data/a", folder / "nowhere") == [f"{folder}/data/a.txt"]


def test_a_tilde_stays_as_typed(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert complete("~", folder) == ["~/"]
    assert complete("~/do", folder / "data") == ["~/docs/"]
    assert complete("~/.h", folder / "data") == ["~/.hidden/"]
    assert complete("~nobody-of-that-name/x", folder) == []


def test_links_to_folders_are_folders(folder):
    (folder / "link").symlink_to("data")
    (folder / "loop").symlink_to("loop")
    assert complete("l", folder) == ["link/", "loop"]


def test_names_that_nobody_can_type_are_left_out(folder):
    for name in (b"no\x1b[31mred", b"no\nline", b"no\xff", "no\u202ebidi".encode()):
        try:
            open(os.fsencode(folder) + b"/" + name, "w").close()
        except OSError:  # a file system that wants UTF-8
            continue
    assert complete("no", folder) == ["notes.txt"]


def test_a_huge_folder_takes_no_longer_than_a_key_may(tmp_path, monkeypatch):
    for i in range(3000):
        (tmp_path / f"{i:05}").touch()
    monkeypatch.setattr(paths, "_ENOUGH", 3600.0)
    assert complete("", tmp_path) == [f"{i:05}" for i in range(50)]
    assert complete("0299", tmp_path, limit=3) == ["02990", "02991", "02992"]
    monkeypatch.setattr(paths, "_ENOUGH", 0.0)
    assert len(complete("", tmp_path, limit=3000)) < 3000


def test_looking_ends_in_time(tmp_path, monkeypatch):
    for i in range(100):
        (tmp_path / f"{i:05}").touch()
    monkeypatch.setattr("workbench.data.paths._ENOUGH", 0)
    assert len(complete("", tmp_path)) == 1


def test_a_folder_that_may_not_be_read(folder):
    (folder / "docs").chmod(0)
    try:
        if not os.access(folder / "docs", os.R_OK):  # root may
            assert complete("docs/", folder) == []
    finally:
        (folder / "docs").chmod(0o700)


def test_common():
    assert common([]) == ""
    assert common(["data/"]) == "data/"
    assert common(["data/", "data.txt"]) == "data"
    assert common(["a", "b"]) == ""
