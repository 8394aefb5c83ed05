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
def drawn(split, monkeypatch):
    """(thread, first offset, rows) of every draw from `split`; the thread of a test before this one may still draw."""
    seen = []

    def noted(of, offsets, T, newline):
        if of is split:
            seen.append((threading.current_thread(), int(offsets[0]), len(offsets)))
        return batch(of, offsets, T, newline)

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


@pytest.mark.parametrize("newline", [None, 7])
@pytest.mark.parametrize("stride", [4, 12])
def test_on_and_on_through_many_draws(split, newline, stride, monkeypatch):
    """A rank of three takes every third slice."""
    monkeypatch.setattr(ahead, "MOST", 5)
    rows = Rows(tokens=N, T=9, seed=3, windows=newline is not None)
    drawing = Ahead(split, newline)
    for first in range(0, 23 * stride, stride):
        pair = drawing.draw(rows, first, 4, then=first + stride)
        for got, wanted in zip(pair, batch(split, rows.offsets(first, 4), 9, newline), strict=True):
            assert np.array_equal(got, wanted)


@pytest.mark.parametrize("stride", [4, 12])
def test_the_first_rows_are_drawn_alone_and_the_others_many_at_once_by_another_thread(
    split, drawn, monkeypatch, stride
):
    monkeypatch.setattr(ahead, "MOST", 5)
    rows = Rows(tokens=N, T=9, seed=3)
    drawing = Ahead(split, None)
    for draw in range(12):  # 1, then 5, then 5, then the first of 5 more
        drawing.draw(rows, draw * stride, 4, then=(draw + 1) * stride)
    assert [n for *_, n in drawn][:4] == [4, 20, 20, 20]
    firsts = [int(rows.offsets(draw * stride, 1)[0]) for draw in (0, 1, 6, 11)]
    assert [offset for _, offset, _ in drawn][:4] == firsts
    here = [thread is threading.current_thread() for thread, *_ in drawn]
    assert here[0]
    assert not any(here[1:])


@pytest.mark.parametrize(("count", "draws"), [(1, ahead.MOST), (ahead.AT_ONCE // 9 // 3, 3), (ahead.AT_ONCE, 1)])
def test_what_is_drawn_ahead_is_bounded(split, drawn, count, draws):
    rows = Rows(tokens=N, T=9, seed=3)
    drawing = Ahead(split, None)
    for first in (0, count):  # the second waits for what the first has begun
        drawing.draw(rows, first, count, then=first + count)
    assert [n for *_, n in drawn][:2] == [count, draws * count]


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
def test_a_file_cut_meanwhile_is_told_by_the_draw_that_needs_it(split, tmp_path, monkeypatch):
    monkeypatch.setattr(ahead, "MOST", 1)
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
def test_rows_that_can_be_read_are_though_later_ones_of_the_same_go_cannot(split, tmp_path):
    rows = Rows(tokens=N, T=9, seed=3, order="sequential")
    os.truncate(tmp_path / "x.tokens", 2 * 9 * 20)
    drawing = Ahead(split, None)
    for first in range(0, 16, 4):
        x, _ = drawing.draw(rows, first, 4, then=first + 4)
        assert x.shape == (4, 9)
    with pytest.raises(DataError, match="cut short"):
        drawing.draw(rows, 16, 8, then=24)


@pytest.mark.parametrize("split", [0], indirect=True)
def test_its_thread_ends_with_it(split):
    before = set(threading.enumerate())
    drawing = Ahead(split, None)
    drawing.draw(Rows(tokens=N, T=9, seed=3), 0, 4, then=4)
    (thread,) = set(threading.enumerate()) - before
    del drawing
    thread.join(10)
    assert not thread.is_alive()
