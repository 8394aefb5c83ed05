"""What can go wrong that a user can mend, and the exit code that each kind of it has.

A message names the thing, what was expected, and what to do. Whoever runs a command prints
the message and leaves with the code; a traceback is for our own mistakes only.
"""

import contextlib
import errno
from collections.abc import Iterator


class WorkbenchError(Exception):
    """Anything that ends a command with one clear message. Exit code 1."""

    exit_code = 1


class UsageError(WorkbenchError):
    """Bad usage or a bad preset: nothing was started. Exit code 2."""

    exit_code = 2


class DataError(WorkbenchError):
    """The data cannot be had: not fetched, undecodable, empty, or changed. Exit code 5."""

    exit_code = 5


_MEMORY_WORDS = (
    "DefaultCPUAllocator",
    "std::bad_alloc",
    "could not create a memory",
    "could not create a primitive",
    "ALLOC_FAILED",
    "out of memory",
    "annot allocate memory",
    "failed to map segment",
    "can't start new thread",
    "returned NULL without setting an exception",
    "error return without exception set",
)
"""What Python, torch, the loader and libraries under them say when memory is refused to them."""


def out_of_memory(error: BaseException | None) -> bool:
    """Whether this is memory refused, or came of it. Only words tell: torch's CPU allocator has no class of its own."""
    for _ in range(20):
        if error is None:
            return False
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        said = isinstance(error, RuntimeError | ImportError | OSError | SystemError)
        if said and any(words in str(error) for words in _MEMORY_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def passing_over_refusals() -> Iterator[None]:
    """What the machine refuses inside, a file or memory, ends that and no more. For what is tried again, or is last."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and not out_of_memory(error):
            raise
