"""Work for more than one core, by threads: what they run (tiktoken, SHA-256, CRC-32, files) lets others run.

Threads and not processes: one that is done leaves nothing behind, whatever ended it, none can be killed alone,
and no text is copied to it. Queues are bounded, so a slow disk holds up the reader and not the memory.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

Piece = TypeVar("Piece")
Made = TypeVar("Made")
Tool = TypeVar("Tool")

_MOST_THREADS = 16  # each holds some megabytes, and one reader cannot feed more
_WAITING = 4  # pieces of a megabyte that may wait for a consumer


def cores() -> int:
    """How many threads are worth starting: the cores that this process may use, at most 16."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, _MOST_THREADS)


def in_order(work: Callable[[Piece], Made], pieces: Iterable[Piece]) -> Generator[Made, None, None]:
    """`work` on every piece by a thread a core, in order. Closing it waits for the pieces under way, no others."""
    workers = cores()
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="piece") as pool:
        try:
            for piece in pieces:
                waiting.append(pool.submit(work, piece))
                if len(waiting) > 2 * workers:  # one under way and one to go on with for each
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class Consumer(Generic[Piece]):
    """A thread that does `work` on pieces in order while its owner makes the next.

    `put` waits while four pieces wait, and raises what `work` raised; leaving the block waits for all of them,
    or only for the one under way if the block raised.
    """

    def __init__(self, work: Callable[[Piece], object]) -> None:
        self._work = work
        self._waiting: deque[Future[object]] = deque()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="consumer")

    def __enter__(self) -> "Consumer[Piece]":
        return self

    def put(self, piece: Piece) -> None:
        """Have `work` done on a piece, later."""
        if len(self._waiting) >= _WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._work, piece))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while kind is None and self._waiting:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)
