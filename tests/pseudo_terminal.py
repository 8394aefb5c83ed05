"""A terminal that tests and benchmarks hold in their hands: a real pseudo-terminal, what was drawn on it, and when.

`delay` puts a slow link between the keyboard and the program and between the program and the screen, as SSH would.
"""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

KEYS = {
    "escape": "\x1b",
    "enter": "\r",
    "tab": "\t",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
}


class PseudoTerminal:
    """Runs a program on a pseudo-terminal of `size` (columns, rows). Its bytes are kept with the time they came."""

    def __init__(
        self, arguments: Sequence[str], *, size: tuple[int, int] = (120, 35), cwd: Path | None = None,
        env: Mapping[str, str] | None = None, delay: float = 0.0, emulate: bool = True,
        python: Sequence[str] = ("-m", "workbench"),
    ) -> None:  # fmt: skip
        columns, rows = size
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._emulate = emulate
        self._delay = delay
        self._lock = threading.Lock()
        self.chunks: list[tuple[float, bytes]] = []
        """What the program has written, and when it reached this side of the link."""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = {
            "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            **{k: v for k, v in os.environ.items() if k.startswith(("WORKBENCH_", "PYTHON", "OMP_"))}, **(env or {}),
        }  # fmt: skip
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, *python, *arguments], stdin=slave, stdout=slave, stderr=slave, cwd=cwd,
            env=environment, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self._awaited: Callable[[str], object] | None = None
        self._came_true = 0.0
        self._hung_up = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while not self._hung_up:
            try:
                if not select.select([self._master], [], [], 0.1)[0]:
                    continue
                data = os.read(self._master, 65536)
            except OSError:
                return
            if not data:
                return
            at = time.perf_counter() + self._delay
            with self._lock:
                self.chunks.append((at, data))
                if self._emulate:
                    self._stream.feed(data)
                    if self._awaited and self._awaited("\n".join(self.screen.display)):
                        self._awaited, self._came_true = None, at

    def send(self, *keys: str) -> float:
        """Type keys: names of KEYS, or the text itself. Returns when."""
        data = "".join(KEYS.get(key, key) for key in keys).encode()
        now = time.perf_counter()
        if self._delay:
            threading.Timer(self._delay, self._write, (data,)).start()
        else:
            self._write(data)
        return now

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._master, data)

    def text(self) -> str:
        """What a person would read now."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, what: str | Callable[[str], object], timeout: float = 60.0) -> str:
        """Wait for a text to stand on the screen, or for a predicate of the screen's text. Returns the text."""
        true = (lambda text: what in text) if isinstance(what, str) else what
        deadline = time.perf_counter() + timeout
        while time.perf_counter() < deadline:
            if true(text := self.text()):
                return text
            time.sleep(0.02)
        raise AssertionError(f"{what!r} did not come within {timeout:g} s; the screen:\n{self.text()}")

    def seconds_until(self, true: Callable[[str], object], *keys: str, timeout: float = 5.0) -> float:
        """Seconds from typing `keys` (from the program's start, without any) to the first drawing on which a
        predicate of the screen's text is true. The time is that of the bytes, not of whoever looks at them."""
        with self._lock:
            self._awaited, self._came_true = true, 0.0
        begin = self.send(*keys) if keys else self.started
        deadline = time.perf_counter() + timeout
        while not self._came_true:
            if time.perf_counter() > deadline:
                raise AssertionError(f"nothing within {timeout:g} s; the screen:\n{self.text()}")
            time.sleep(0.001)
        return self._came_true - begin

    def since(self, begin: float, end: float | None = None) -> list[tuple[float, bytes]]:
        """The chunks that came in a span of time."""
        with self._lock:
            return [(at, data) for at, data in self.chunks if at >= begin and (end is None or at < end)]

    def resize(self, columns: int, rows: int) -> None:
        with self._lock:
            self.screen.resize(rows, columns)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def hang_up(self) -> None:
        """The terminal goes away, as when a connection drops: its other end is closed."""
        self._hung_up = True  # a reader that waits would keep it open
        self._reader.join(timeout=60)
        with contextlib.suppress(OSError):
            os.close(self._master)

    def close(self) -> None:
        """Kill the program if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=60)
        self.hang_up()
