"""Pieces by several threads: in order, bounded, and nothing left behind whatever ends them."""

import threading
import time

import pytest

from workbench.data import threads
from workbench.data.threads import Aside, cores, in_order


@pytest.fixture(params=[1, 3])
def workers(request, monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: request.param)
    return request.param


@pytest.fixture(autouse=True)
def _nobody_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_results_come_in_order(workers):
    def work(n):
        time.sleep(0.002 * (n % 3 == 0))  # so that later pieces are done first
        return n * n

    assert list(in_order(work, range(50))) == [n * n for n in range(50)]


def test_the_queue_is_bounded(workers):
    taken = 0

    def pieces():
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = in_order(lambda n: n, pieces())
    for received in range(1, 20):
        assert next(results) == received
        assert taken <= received + 2 * workers
    results.close()


def test_closing_waits_for_no_piece_that_has_not_begun(workers):
    gate, begun = threading.Event(), []

    def work(n):
        begun.append(n)
        if n:
            gate.wait(10)

    results = in_order(work, range(1000))
    assert next(results) is None
    gate.set()
    results.close()
    time.sleep(0.01)
    assert len(begun) <= 2 * workers + 2


def test_an_error_of_the_work_or_of_the_pieces_is_raised_in_its_place(workers):
    def pieces():
        yield from (1, 2)
        raise KeyError("the source")

    results = in_order(lambda n: 1 // (2 - n), pieces())
    with pytest.raises(KeyError, match="the source"):
        list(results)
    results = in_order(lambda n: 1 // (5 - n), range(1000))
    assert [next(results) for _ in range(5)] == [0, 0, 0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3}, raising=False)
    assert cores() == 1
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(500)))
    assert cores() == 16


def test_aside_keeps_the_order_and_waits_for_the_last():
    done = []
    with Aside(lambda n: (time.sleep(0.001), done.append(n))) as aside:
        for n in range(20):
            aside.put(n)
    assert done == list(range(20))


def test_a_slow_thread_aside_holds_its_owner_up():
    gate = threading.Event()
    put = []

    def owner():
        with Aside(lambda _: gate.wait(10)) as aside:
            for n in range(20):
                aside.put(n)
                put.append(n)

    thread = threading.Thread(target=owner)
    thread.start()
    time.sleep(0.1)
    assert len(put) == 4
    gate.set()
    thread.join()
    assert len(put) == 20


def test_an_error_aside_reaches_its_owner():
    def work(n):
        if n == 2:
            raise OSError("no room")

    done = []
    with pytest.raises(OSError, match="no room"), Aside(work) as aside:  # noqa: PT012 (which of the two is told)
        for n in range(100):
            aside.put(n)
            done.append(n)
    assert len(done) < 10
    with pytest.raises(OSError, match="no room"), Aside(work) as aside:
        aside.put(2)


def test_an_error_of_its_owner_drops_what_waits():
    gate, begun = threading.Event(), []

    def work(n):
        begun.append(n)
        gate.wait(10)

    with pytest.raises(KeyboardInterrupt), Aside(work) as aside:  # noqa: PT012
        for n in range(4):
            aside.put(n)
        threading.Timer(0.05, gate.set).start()
        raise KeyboardInterrupt
    assert begun == [0]
    time.sleep(0.05)  # the timer's thread
