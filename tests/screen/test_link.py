"""The link sends less, and the terminal shows the same: what it sends is drawn by a terminal in memory and compared."""

import os
import signal
import termios
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pseudo_terminal import PseudoTerminal

from workbench.screen.frame.link import END_SYNC, SYNC, WORTH_SYNC, Shown, change

STYLES = ("", "1", "38;5;117;48;5;233", "1;38;5;215;48;5;233", "38;2;1;2;3", "7;31", "2;3;97;104", "39;49", "38;5;233")
WIDTH, HEIGHT = 20, 4

runs = st.lists(st.tuples(st.text("ab ⠓─漢", min_size=1, max_size=6), st.sampled_from(STYLES)), min_size=1, max_size=4)
drawings = st.lists(st.dictionaries(st.integers(0, HEIGHT - 1), runs, min_size=1), min_size=1, max_size=5)


def written(rows: dict[int, list[tuple[str, str]]]) -> str:
    """A drawing as Textual writes one: every row from its left edge, every run with its whole style and a reset."""
    out = []
    for y, row in sorted(rows.items()):
        out.append(f"\x1b[{y + 1};1H")
        left = WIDTH
        for text, style in [*row, (" " * WIDTH, "")]:
            cells = ""
            for c in text:
                width = 2 if c == "漢" else 1
                if width <= left:
                    cells, left = cells + c, left - width
            if cells:
                out.append(f"\x1b[{style}m{cells}\x1b[0m" if style else cells)
        out.append("\n")
    return "".join(out).rstrip("\n") + "\x1b[1;1H"


class Memory:
    def __init__(self) -> None:
        self.screen = pyte.Screen(WIDTH, HEIGHT)
        self._stream = pyte.Stream(self.screen)

    def shows(self, data: str) -> list[list[object]]:
        self._stream.feed(data)
        return [[self.screen.buffer[y][x] for x in range(WIDTH)] for y in range(HEIGHT)]


@settings(max_examples=300, deadline=None)
@given(drawings)
def test_a_terminal_shows_what_it_would_have_shown(frames: list[dict[int, list[tuple[str, str]]]]) -> None:
    shown, raw, sent = Shown(), Memory(), Memory()
    for frame in frames:
        data = written(frame)
        through = shown.sends(data)
        assert sent.shows(through) == raw.shows(data)
        assert len(through) <= len(data) + 16
        assert shown.sends(data) == "", "what stands there already is not sent again"


def test_one_figure_costs_what_it_shows() -> None:
    shown = Shown()
    label, value = "\x1b[38;5;245;48;5;233mloss \x1b[0m", "\x1b[1;38;5;251;48;5;233m{}\x1b[0m"
    line = f"\x1b[1;1H{label}{value}\x1b[38;5;251;48;5;233m nats\x1b[0m"
    shown.sends(line.format("2.3141"))
    assert shown.sends(line.format("2.3159")) == "\x1b[1;10H\x1b[1m59"


def test_a_style_changes_by_its_parts() -> None:
    assert change("38;5;1;48;5;233", "1;38;5;2;48;5;233") == "\x1b[1;38;5;2m"
    assert change("1;38;5;2;48;5;233", "38;5;2;48;5;233") == "\x1b[0;38;5;2;48;5;233m", "bold can only be reset"
    assert change("38;5;1;48;5;233", "38;5;1") == "\x1b[0;38;5;1m"
    assert change("1", "") == "\x1b[0m"


def test_what_is_no_drawing_goes_through_with_plain_colours() -> None:
    shown = Shown()
    shown.sends("\x1b[1;1H\x1b[31mred\x1b[0m")
    assert shown.sends("\x1b]52;c;YQ==\a") == "\x1b[0m\x1b]52;c;YQ==\a"
    assert shown.sends("\x1b[1;1H\x1b[31mred\x1b[0m") == "", "copying has changed nothing on the screen"
    shown.sends("\x1b[?1049h")
    assert "red" in shown.sends("\x1b[1;1H\x1b[31mred\x1b[0m"), "another screen: all of it is sent again"


def test_only_a_large_drawing_is_a_synchronised_frame() -> None:
    shown = Shown()
    assert [shown.sends(SYNC), shown.sends("\x1b[1;1Hx"), shown.sends(END_SYNC)] == ["", "\x1b[1;1Hx", ""]
    large = "".join(f"\x1b[{y + 1};1H{chr(97 + y) * 100}" for y in range(10))
    assert len(large) > WORTH_SYNC
    shown.sends(SYNC)
    assert shown.sends(large).startswith(SYNC)
    assert shown.sends(END_SYNC) == END_SYNC


def test_what_another_program_wrote_over_is_drawn_anew(tmp_path: Path) -> None:
    """ctrl+l and a resize: the whole screen is sent again."""
    terminal = PseudoTerminal(["to-be"], size=(100, 30), cwd=tmp_path)
    try:
        terminal.until("predictions")
        with terminal._lock:
            terminal.screen.erase_in_display(2)
        terminal.send("\x0c")
        terminal.until("predictions")
        terminal.resize(90, 28)
        terminal.until(lambda text: "predictions" in text and "space start" in text)
        terminal.send("q")
        assert terminal.process.wait(timeout=180) == 0
    finally:
        terminal.close()


def until(true: Callable[[], bool], timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("stopped", [signal.SIGSTOP, signal.SIGTSTP])
def test_stopped_and_woken_it_is_drawn_anew_reads_each_key_once_and_leaves_the_terminal_as_it_was(
    tmp_path: Path, stopped: signal.Signals
) -> None:
    terminal = PseudoTerminal(["to-be"], size=(100, 30), cwd=tmp_path)
    try:
        terminal.until("predictions")
        for _ in range(3):
            os.kill(terminal.process.pid, stopped)
            until(lambda: psutil.Process(terminal.process.pid).status() == psutil.STATUS_STOPPED)
            if stopped == signal.SIGSTOP:  # as a shell would have it meanwhile
                modes = termios.tcgetattr(terminal._master)
                modes[3] |= termios.ICANON | termios.ECHO
                termios.tcsetattr(terminal._master, termios.TCSANOW, modes)
            with terminal._lock:
                terminal.screen.erase_in_display(2)
            os.kill(terminal.process.pid, signal.SIGCONT)
            terminal.until(lambda text: "predictions" in text and "space start" in text)
        threads = [thread.id for thread in psutil.Process(terminal.process.pid).threads()]
        assert len(threads) <= 8, "one of them reads the keys"
        terminal.send("g")
        terminal.until("esc leaves")
        terminal.send("12345678")
        terminal.until("12345678")
        terminal.send("escape")
        terminal.until(lambda text: "esc leaves" not in text)
        terminal.send("q")
        assert terminal.process.wait(timeout=180) == 0
        assert termios.tcgetattr(terminal._master)[3] & termios.ICANON
    finally:
        terminal.close()


def shown_after(*drawings: str) -> Shown:
    shown = Shown()
    for drawing in drawings:
        shown.sends(drawing)
    return shown


def test_parts_of_a_row_are_sent_by_themselves() -> None:
    """Textual draws from a widget's edge on; the link must bear any part, as a later version may send it."""
    assert shown_after("\x1b[1;1H漢", "\x1b[1;2Hb").sends("\x1b[1;1H漢") == "\x1b[1;1H漢", "from its left half on"
    assert shown_after("\x1b[1;1Ha", "\x1b[1;6Hb").sends("\x1b[1;1HX\x1b[1;3Hc") == "\x1b[1;1HX c"
    assert shown_after("\x1b[1;1Habcdefghij").sends("\x1b[1;1HXbcdefghiY") == "\x1b[1;1HX\x1b[1;10HY"
    assert shown_after("\x1b[1;1Hab\x1b[1;2H").sends("\x1b[1;1Hab\x1b[1;1H") == "\x1b[1;1H", "only the cursor moves"
    assert shown_after("\x1b[1;1Ha", "\x1b[2J").sends("\x1b[1;1Ha") == "\x1b[1;1Ha", "it was cleared meanwhile"
