"""Whether there may be a download, and what is said where there was none. `fetch.py` makes them."""

import os

from workbench.errors import DataError


class NotFetched(DataError):
    """It is still to be fetched, and who asked did not ask for that."""


def offline() -> bool:
    """Whether WORKBENCH_OFFLINE forbids every download."""
    return os.environ.get("WORKBENCH_OFFLINE", "") not in ("", "0")
