"""Rows drawn ahead are the rows that would have been drawn, whatever is asked for next."""

import os
import threading
from dataclasses import replace

import numpy as np
import pytest

from workbench.data import ahead
from workbench.data.ahead import Ahead
from workbench.data.batches import batch
from workbench.data.rows import Rows
from workbench.data.store import Split, TokenStore
from workbench.errors import DataError

N = 5000


@pytest.fixture(params=[0, 1 << 20])
def split(request, tmp_path):
    (path := tmp_path / "x.tokens").write_bytes(np.random.default_rng(1).integers(0, 99, N).astype("<u2").tobytes())
    return Split(TokenStore(path, np.dtype("<u2"), N, 100, in_memory=request.param), 0, N)


@pytest.fixture
def drawn(monkeypatch):
    """(thread, first offset) of every draw."""
    seen = []

    def noted(split, offsets, T, newline):
        seen.append((threading.current_thread(), int(offsets[0])))
        return batch(split, offsets, T, newline)

    monkeypatch.setattr(ahead, "batch", noted)
    return seen


@pytest.mark.parametrize("newline", [None, 7])
@pytest.mark.parametrize("order", ["random", "sequential", "shuffled"])
def test_the_same_rows_whatever_is_asked_for(split, order, newline):
    rows = Rows(tokens=N, T=9, seed=3, order=order, windows=newline is not None)
    longer = rows.edited(8, T=12, order=order)
    other = replace(rows, seed=4)
    drawing = Ahead(split, newline)
    for function, first, count, then in (
        (rows, 0, 4, 4), (rows, 4, 4, 8), (longer, 8, 4, 12), (longer, 12, 2, 14), (other, 14, 2, 16),
        (other, 4, 2, 6), (other, 6, 2, 10), (other, 8, 2, 10), (other, 10, 3, 13),
    ):  # fmt: skip
        x, y = drawing.draw(function, first, count, then=then)
        for got, wanted in zip((x, y), batch(split, function.offsets(first, count), function.T, newline), strict=True):
            assert np.array_equal(got, wanted)


def test_rows_on_disk_are_read_by_another_thread_and_held_ones_are_not(split, drawn):
    rows = Rows(tokens=N, T=9, seed=3)
    drawing = Ahead(split, None)
    for first in range(0, 40, 4):
        drawing.draw(rows, first, 4, then=first + 4)
    here = [thread is threading.current_thread() for thread, _ in drawn]
    if split.in_memory:
        assert here == [True] * 10
    else:
        drawing.draw(rows, 40, 4, then=44)
        assert [offset for _, offset in drawn][:11] == [int(rows.offsets(first, 1)[0]) for first in range(0, 44, 4)]
        assert here[0]
        assert not any(here[1:])


@pytest.mark.parametrize("split", [0], indirect=True)
def test_the_next_rows_are_begun_with_before_they_are_asked_for(split, monkeypatch):
    begun = threading.Semaphore(0)

    def noted(*of):
        begun.release()
        return batch(*of)

    monkeypatch.setattr(ahead, "batch", noted)
    Ahead(split, None).draw(Rows(tokens=N, T=9, seed=3), 0, 4, then=4)
    assert begun.acquire(timeout=10)
    assert begun.acquire(timeout=10)


@pytest.mark.parametrize("split", [0], indirect=True)
def test_a_file_cut_meanwhile_is_told_by_the_draw_that_needs_it(split, tmp_path):
    rows = Rows(tokens=N, T=9, seed=3)
    drawing = Ahead(split, None)
    drawing.draw(rows, 0, 4, then=4)
    x, _ = drawing.draw(rows, 4, 4, then=8)
    assert x.shape == (4, 9)
    os.truncate(tmp_path / "x.tokens", 10)
    with pytest.raises(DataError, match="cut short"):  # noqa: PT012 (the first may have been drawn before the cut)
        for first in (8, 12):
            drawing.draw(rows, first, 4, then=first + 4)


@pytest.mark.parametrize("split", [0], indirect=True)
def test_its_thread_ends_with_it(split):
    before = set(threading.enumerate())
    drawing = Ahead(split, None)
    drawing.draw(Rows(tokens=N, T=9, seed=3), 0, 4, then=4)
    (thread,) = set(threading.enumerate()) - before
    del drawing
    thread.join(10)
    assert not thread.is_alive()
