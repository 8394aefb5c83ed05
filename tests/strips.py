"""What the tests of panes share: a pane's lines as the terminal would get them, waiting, and text that means harm."""

import time

from rich.cells import cell_len

HOSTILE = (
    "\x1b]52;c;aGk=\x07\x1b[2J\x1b[31mred\x9b1m 日本語 e\u0301\u0301\u0301\u0301 \u202eevil\u202c "
    "\U0001f468\u200d\U0001f469 \U0001f1e9\U0001f1ea שלום \t\r\u2028 नमस्ते |\n"
)  # fmt: skip
"""Escape sequences (one of them OSC 52, which sets the clipboard), wide and combining characters, right to left."""
SIZES = [(60, 16), (80, 24), (120, 35), (200, 60)]


def drawn(pane):
    """The lines of a pane, checked to be harmless and exactly as wide as it is."""
    lines = []
    for y in range(pane.size.height):
        strip = pane.render_line(y)
        text = "".join(segment.text for segment in strip)
        assert cell_len(text) == pane.size.width, (y, text)
        assert all(character.isprintable() for character in text), (y, text)
        assert not any(segment.control for segment in strip)
        lines.append(text.rstrip())
    return lines


async def until(pilot, what, timeout=60):
    """Let the application run until something is true."""
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not become true in time"
        await pilot.pause(0.05)
