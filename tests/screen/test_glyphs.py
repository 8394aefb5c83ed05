"""Text that nobody vouches for, in cells: by Rich's count, and by what tmux really does with it."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import unicodedata

import pytest
from rich.cells import cell_len

from workbench.screen.glyphs import cell, fit, plain, width_of, wrap

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
ZALGO = "Z" + "\u0300\u0301\u0302\u0303" * 20 + "algo"

NASTY = [
    "a", " ", "\n", "\t", "\r", "\0", "\x07", "\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "\x7f", "\x84", "\u0085",
    "é", "e\u0301", "\u0301", " \u0301", "\n\u0301", "\x1b\u0301", ZALGO, "\u0489x\u0488", "日本語", "ﾊﾝｶｸ", "한국어",
    "\u1112\u1161\u11ab", "\u1161", "\u115f", "\u3164", "\uffa0", "\u3000", "\u00a0", "\u2003", "\u2028", "\u2029",
    "\u00ad", "\u034fx", "\u200b", "\u2060", "\ufeff", FAMILY, "\U0001f1eb\U0001f1f7", "\U0001f44d\U0001f3fd", "❤️",
    "1\ufe0f\u20e3", "\U0001f600", "\U0001faf6", "שלום", "שָׁלוֹם", "العربية", "لا", "\u202eabc\u202c", "\u2066abc\u2069",
    "हिन्दी", "தமிழ்", "ไทย ำ", "བོད་", "\u302e", "\ue000", "\U000f0000", "\U0010ffff", "\u0378", "\ud800",
    "\u2630", "\u4dc0", "\u3248", "\U0001d360", "\U000e0041", "\U0001d173", "\ufff9x\ufffb", "│─╭", "⠿⣿", "ǅ", "½",
    "<20 e2>",
]  # fmt: skip


def assert_harmless(text, *, keep=""):
    for character in text:
        assert character in keep or unicodedata.category(character)[0] not in "C", f"{character!r} in {text!r}"
        assert not "\U0001f3fb" <= character <= "\U0001f3ff"
        assert not "\U0001f1e6" <= character <= "\U0001f1ff"
        assert not "\ufe00" <= character <= "\ufe0f"


@pytest.mark.parametrize("text", NASTY)
def test_every_function_keeps_its_width(text):
    for width in (1, 2, 3, 7, 40):
        for drawn in (cell(text, width), fit(text, width)):
            assert cell_len(drawn) == width
            assert_harmless(drawn)
        for line in wrap(text * 3, width):
            assert cell_len(line) <= width
            assert_harmless(line)
    assert cell_len(cell(text, width_of(text))) == width_of(text)
    assert "…" not in cell(text, width_of(text))
    assert_harmless(plain(text))
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize(
    ("piece", "width", "drawn"),
    [
        (" ", 1, "·"),
        ("\n", 1, "↵"),
        ("\t", 1, "→"),
        ("\r", 1, "␍"),
        ("\x1b", 2, "␛ "),
        ("\x7f", 1, "␡"),
        ("\x9b", 1, "�"),
        ("\u00a0", 1, "␣"),
        ("the", 5, "the  "),
        (" the", 4, "·the"),
        (" the", 3, "·t…"),
        ("日", 2, "日"),
        ("日", 1, "…"),
        ("日本", 3, "日…"),
        ("a日", 2, "a…"),
        ("\u0301", 1, "◌\u0301"),
        (" \u0301", 2, "·◌\u0301"),
        ("e\u0301", 1, "e\u0301"),
        ("\u200d", 1, "�"),
        ("\U0001f1eb", 1, "�"),
        ("\U0001f600", 2, "\U0001f600"),
        ("", 2, "  "),
    ],
)
def test_cells(piece, width, drawn):
    assert cell(piece, width) == drawn


def test_widths():
    assert [width_of(piece) for piece in ("", "a", "日", " the", "\u0301", "e\u0301", "\x1b[0m", FAMILY)] == [
        0, 1, 2, 4, 1, 1, 4, 8,
    ]  # fmt: skip


def test_plain():
    assert plain("a b\n\tc") == "a b↵→c"
    assert plain("a\nb\n", newlines=True) == "a\nb\n"
    assert plain("\x1b[2J\u202eevil") == "␛[2J�evil"
    assert plain("x\u00a0y\u3000z") == "x y z"
    assert plain("שלום") == "שלום"
    assert plain("\n\u0301", newlines=True) == "\n◌\u0301", "a mark must not climb onto the line before"
    assert plain("Z" + "\u0301" * 9 + "a") == "Z\u0301\u0301a"


def test_fit():
    assert fit("run", 5) == "run  "
    assert fit("a long name", 6) == "a lon…"
    assert fit("日本語", 4) == "日… "
    assert fit("日本語", 5) == "日本…"
    assert fit("日本語", 6) == "日本語"
    assert fit("two\nlines", 9) == "two↵lines"
    assert fit("x", 0) == fit("x", -1) == ""


def test_wrap():
    assert wrap("abcdef", 4) == ["abcd", "ef"]
    assert wrap("ab\ncd\n", 4) == ["ab", "cd", ""]
    assert wrap("abcd\ne", 4) == ["abcd", "e"]
    assert wrap("\n\n", 4) == ["", "", ""]
    assert wrap("", 4) == [""]
    assert wrap("a日本", 2) == ["a", "日", "本"]
    assert wrap("日", 1) == ["…"]
    assert wrap("e\u0301" * 3, 2) == ["e\u0301e\u0301", "e\u0301"]


def test_every_character_that_anybody_uses():
    for code in (*range(0x20000), *range(0xE0000, 0xE0200)):
        character = chr(code)
        drawn = cell.__wrapped__(character, 2)
        assert cell_len(drawn) == 2, f"U+{code:04X}"
        assert code < 0x20 or plain(character) != character or unicodedata.category(character)[0] != "C"


def test_a_frame_of_cells_is_made_once():
    pieces = [chr(32 + i % 90) for i in range(1000)] + [f"日{i % 90}" for i in range(1000)]
    for _ in range(2):
        before = cell.cache_info().misses
        for piece in pieces:
            cell(piece, 3)
    assert cell.cache_info().misses == before


# Draws each text between bars, asks the terminal where its cursor is, and leaves what it was told in a file.
ASK = r"""
import json, os, re, sys, termios, tty
texts = json.load(open(sys.argv[1]))
before = termios.tcgetattr(0)
tty.setraw(0)
told, buffer = [], b""
for text in texts:
    os.write(1, b"\r\x1b[K|" + text.encode() + b"|\x1b[6n")
    while not (reply := re.search(rb"\x1b\[\d+;(\d+)R", buffer)):
        buffer += os.read(0, 4096)
    told.append(int(reply[1]) - 3)
    buffer = b""
os.write(1, b"\r\x1b[2J\x1b[H" + b"\r\n".join(b"|" + text.encode() + b"|" for text in texts[:20]))
os.write(1, b"\x1b[6n")
while b"R" not in buffer:
    buffer += os.read(0, 4096)
with open(sys.argv[2] + ".tmp", "w") as file:
    json.dump(told, file)
os.rename(sys.argv[2] + ".tmp", sys.argv[2])
os.read(0, 1)
"""


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
def test_tmux_counts_the_columns_that_we_count(tmp_path):
    everything = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Co", "Cs")]
    rare = [c for c in everything if not ("\u4e00" < c < "\u9fff" or "\uac00" < c < "\ud7a3" or c > "\U00020000")]
    texts = [cell(text, 6) for text in NASTY] + [fit(text, 6) for text in NASTY] + [cell(c, 2) for c in rare]
    ask, asked, told = tmp_path / "ask.py", tmp_path / "texts.json", tmp_path / "told.json"
    ask.write_text(ASK)
    asked.write_text(json.dumps(texts))
    tmux = ["tmux", "-S", str(tmp_path / "socket"), "-u", "-f", "/dev/null"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TMUX", "LC_"))}
    environment["LC_ALL"] = "C.UTF-8"
    start = ["new-session", "-d", "-x", "80", "-y", "24", sys.executable, str(ask), str(asked), str(told)]
    try:
        subprocess.run([*tmux, *start], env=environment, check=True, timeout=60)
        deadline = time.monotonic() + 30
        while not told.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        screen = subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, check=True, timeout=60).stdout
    finally:
        subprocess.run([*tmux, "kill-server"], check=False, timeout=10, stderr=subprocess.DEVNULL)
    columns = json.loads(told.read_text())
    wrong = [(ascii(text), got) for text, got in zip(texts, columns, strict=True) if got != cell_len(text)]
    assert wrong == []
    lines = screen.decode().splitlines()[:20]
    assert all(re.fullmatch(r"\|.*\|", line) and cell_len(line) == 8 for line in lines), lines
