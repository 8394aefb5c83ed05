"""Tokens in memory and by pread are the same, and damage is told."""

import os
import zlib

import numpy as np
import pytest

from workbench.data.store import Split, TokenStore
from workbench.errors import DataError


@pytest.fixture(params=["<u1", "<u2", "<u4"])
def tokens(request):
    return np.random.default_rng(1).integers(0, 200, 5000).astype(request.param)


@pytest.fixture
def file(tmp_path, tokens):
    path = tmp_path / "x.tokens"
    path.write_bytes(tokens.tobytes())
    return path


@pytest.mark.parametrize("in_memory", [0, 1 << 20])
def test_rows_are_the_file_s(file, tokens, in_memory):
    store = TokenStore(file, tokens.dtype, 5000, 200, checksum=zlib.crc32(tokens.tobytes()), in_memory=in_memory)
    split = Split(store, 1000, 3000)
    starts = np.array([0, 17, 2990, 17], dtype=np.int64)
    rows = split.gather(starts, 10)
    assert rows.dtype == split.dtype == tokens.dtype
    assert rows.tolist() == [tokens[1000 + s : 1010 + s].tolist() for s in starts]
    assert split.read(5, 100).tolist() == tokens[1005:1105].tolist()
    assert split.read(3000, 0).tolist() == []
    assert split.gather(np.empty(0, dtype=np.int64), 8).shape == (0, 8)


@pytest.mark.parametrize("in_memory", [0, 1 << 20])
def test_outside_a_split_is_an_error(file, tokens, in_memory):
    split = Split(TokenStore(file, tokens.dtype, 5000, 200, in_memory=in_memory), 1000, 3000)
    for starts in ([-1], [2991], [0, 3000]):
        with pytest.raises(IndexError):
            split.gather(np.array(starts, dtype=np.int64), 10)
    for begin, count in ((-1, 2), (2999, 2), (0, -1)):
        with pytest.raises(IndexError):
            split.read(begin, count)


def test_what_a_caller_does_to_its_rows_stays_with_it(file, tokens):
    split = Split(TokenStore(file, tokens.dtype, 5000, 200), 0, 5000)
    split.read(0, 10)[:] = 7
    split.gather(np.array([0]), 10)[:] = 7
    assert split.read(0, 10).tolist() == tokens[:10].tolist()


def test_a_file_cut_before_it_is_opened(file, tokens):
    file.write_bytes(tokens.tobytes()[:-3])
    with pytest.raises(DataError, match="cut short"):
        TokenStore(file, tokens.dtype, 5000, 200)


def test_a_file_cut_while_it_is_open(file, tokens):
    store = TokenStore(file, tokens.dtype, 5000, 200, in_memory=0)
    file.write_bytes(tokens.tobytes()[:1000])
    with pytest.raises(DataError, match="cut short"):
        store.gather(np.array([100, 4000]), 20)
    with pytest.raises(DataError, match=str(file)):
        store.read(3000, 2000)


def test_a_file_that_changed_under_its_checksum(file, tokens):
    changed = tokens.copy()
    changed[2500] += 1
    file.write_bytes(changed.tobytes())
    with pytest.raises(DataError, match="changed"):
        TokenStore(file, tokens.dtype, 5000, 202, checksum=zlib.crc32(tokens.tobytes()))


def test_an_id_past_the_vocabulary_never_reaches_a_model(file, tokens):
    store = TokenStore(file, tokens.dtype, 5000, 150, in_memory=0)
    with pytest.raises(DataError):
        store.read(0, 5000)


def test_no_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        TokenStore(tmp_path / "none", np.dtype("<u1"), 1, 256)


def test_opening_a_large_file_reads_none_of_it(tmp_path, monkeypatch):
    path, n = tmp_path / "large.tokens", 600_000_000
    path.touch()
    os.truncate(path, 2 * n)  # a hole: it takes no room
    with path.open("r+b") as file:
        file.seek(2 * (n - 3))
        file.write(np.array([7, 8, 9], dtype="<u2").tobytes())
    with monkeypatch.context() as patched:
        patched.setattr(os, "preadv", lambda *_: pytest.fail("it was read"))
        store = TokenStore(path, np.dtype("<u2"), n, 10, checksum=1)
    split = Split(store, 0, n)
    assert split.gather(np.array([n - 4, 5]), 4).tolist() == [[0, 7, 8, 9], [0, 0, 0, 0]]


@pytest.mark.parametrize("most", [1, 7])
def test_rows_of_which_a_read_brings_only_a_part(file, tokens, monkeypatch, most):
    """A signal cuts a read short, and so does a network's file system."""
    own = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, into, at: own(fd, [into[0][:most]], at))
    split = Split(TokenStore(file, tokens.dtype, 5000, 200, in_memory=0), 0, 5000)
    starts = np.array([0, 4990, 17])
    assert split.gather(starts, 10).tolist() == [tokens[s : s + 10].tolist() for s in starts]
    assert split.read(100, 30).tolist() == tokens[100:130].tolist()


def test_a_disk_that_fails_is_told(file, tokens, monkeypatch):
    store = TokenStore(file, tokens.dtype, 5000, 200, in_memory=0)

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(DataError, match="Input/output error"):
        store.gather(np.array([0, 10]), 10)
