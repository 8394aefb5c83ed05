"""What can go wrong that a user can mend, and the exit code that each kind of it has.

A message names the thing, what was expected, and what to do. Whoever runs a command prints
the message and leaves with the code; a traceback is for our own mistakes only.
"""


class WorkbenchError(Exception):
    """Anything that ends a command with one clear message. Exit code 1."""

    exit_code = 1


class UsageError(WorkbenchError):
    """Bad usage or a bad preset: nothing was started. Exit code 2."""

    exit_code = 2


class DataError(WorkbenchError):
    """The data cannot be had: not fetched, undecodable, empty, or changed. Exit code 5."""

    exit_code = 5
