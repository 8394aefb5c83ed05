"""Looks at slow things, a disk or a driver, in a thread that nothing waits for: not a key, and not the way out."""

import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from workbench.errors import WorkbenchError

Found = TypeVar("Found")


class Aside(Generic[Found]):
    """One look at a time. `tell` is called from its thread when a look is over."""

    def __init__(self, look: Callable[[], Found], tell: Callable[[], object]) -> None:
        self._look, self._tell = look, tell
        self._busy = threading.Lock()
        self.found: Found | None = None
        """What the last look that went well has found."""
        self.error = ""
        """Why the last look did not go well."""

    def ask(self) -> None:
        """Look now, unless a look is under way."""
        if self._busy.acquire(blocking=False):
            threading.Thread(target=self._go, name="aside", daemon=True).start()

    def _go(self) -> None:
        try:
            self.found, self.error = self._look(), ""
        except (WorkbenchError, OSError, ValueError) as error:
            self.error = str(error)
        finally:
            self._busy.release()
        with contextlib.suppress(RuntimeError):  # the application has gone meanwhile
            self._tell()
