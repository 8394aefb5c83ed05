"""Pieces by several threads: in order, bounded, and nothing left behind whatever ends them."""

import threading
import time

import pytest

from workbench.data import threads
from workbench.data.threads import Consumer, cores, in_order


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


def test_a_consumer_keeps_the_order_and_waits_for_the_last():
    done = []
    with Consumer(lambda n: (time.sleep(0.001), done.append(n))) as consumer:
        for n in range(20):
            consumer.put(n)
    assert done == list(range(20))


def test_a_slow_consumer_holds_its_owner_up():
    gate, put = threading.Event(), [threading.Event() for _ in range(20)]

    def owner():
        with Consumer(lambda _: gate.wait(10)) as consumer:
            for n in range(20):
                consumer.put(n)
                put[n].set()

    thread = threading.Thread(target=owner)
    thread.start()
    assert put[3].wait(10)
    assert not put[4].wait(0.05)  # which would not come however long one waits
    gate.set()
    thread.join()
    assert all(event.is_set() for event in put)


def test_an_error_of_a_consumer_reaches_its_owner():
    def work(n):
        if n == 2:
            raise OSError("no room")

    done = []
    with pytest.raises(OSError, match="no room"), Consumer(work) as consumer:  # noqa: PT012 (which of the two is told)
        for n in range(100):
            consumer.put(n)
            done.append(n)
    assert len(done) < 10
    with pytest.raises(OSError, match="no room"), Consumer(work) as consumer:
        consumer.put(2)


def test_an_error_of_its_owner_drops_what_waits():
    first, gate, begun = threading.Event(), threading.Event(), []

    def work(n):
        begun.append(n)
        first.set()
        gate.wait(10)

    with pytest.raises(KeyboardInterrupt), Consumer(work) as consumer:  # noqa: PT012
        for n in range(4):
            consumer.put(n)
        assert first.wait(10)
        consumer._waiting[-1].add_done_callback(lambda _: gate.set())  # it is dropped, and the first may end
        raise KeyboardInterrupt
    assert begun == [0]
