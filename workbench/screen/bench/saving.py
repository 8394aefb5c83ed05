"""Presets on the disk: what a file says of itself, what saving over it would lose, and writing it whole."""

import os
import re
import secrets
from pathlib import Path

from workbench import preset as presets
from workbench.errors import WorkbenchError
from workbench.preset import Preset
from workbench.preset.files import LONGEST_PRESET
from workbench.screen.bench.bench import Bench

_TOML = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|(#[^\n]*)',
    re.DOTALL,
)
"""A TOML string, or a comment as the group: what looks like a comment within a string is none."""


class NotSaved(WorkbenchError):
    """A preset could not be written; the file is as it was."""


def comments(text: str) -> list[str]:
    """The comments of a TOML text, in order, without their `#`."""
    return [found[1][1:].strip() for found in _TOML.finditer(text) if found[1] is not None]


def described(path: Path) -> str:
    """The comment that a preset's file begins with, as one paragraph a block; "" where there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(8192)
    except OSError:
        return ""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if not line.startswith("#"):
            if line.strip():
                break
            continue
        said = line.removeprefix("#").strip()
        if said:
            blocks[-1].append(said)
        elif blocks[-1]:
            blocks.append([])
    return "\n".join(" ".join(block) for block in blocks if block)


def first_line(path: Path) -> str:
    """The first sentence of that comment."""
    text = described(path).partition("\n")[0]
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0]


def suggested(bench: Bench) -> str:
    """Where the settings would be saved: the user's own file that they came from, else NAME.toml right here."""
    if bench.path is not None and bench.path not in presets.shipped().values():
        return str(bench.path)
    return f"./{bench.as_new.name}.toml"


def target(text: str) -> Path:
    """The file that a typed path means; `.toml` where no ending is given. Raises NotSaved."""
    text = text.strip()
    if not text or "\0" in text:
        raise NotSaved("expected a path, such as ./mine.toml")
    path = Path(os.path.expanduser(text)).absolute()
    try:
        if text.endswith(os.sep) or path.is_dir():
            raise NotSaved(f"{text} is a folder; expected a file, such as {text.rstrip(os.sep)}/mine.toml")
        if not path.suffix:
            path = path.with_name(f"{path.name}.toml")
        if path.exists() and not path.is_file():
            raise NotSaved(f"{path} is not a regular file; expected a preset")
        if not path.parent.is_dir():
            raise NotSaved(f"{path.parent}: there is no such folder")
    except OSError as error:
        raise NotSaved(f"{text}: no file can be there ({error.strerror})") from None
    return path


def lost_comments(path: Path) -> int:
    """How many comments of the file would be lost: what is written holds values only."""
    try:
        return len(comments(path.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return 0


def save(path: Path, preset: Preset) -> None:
    """Write the preset, whole or not at all, where `path` leads; an old file's mode is kept. Raises NotSaved."""
    data = presets.to_toml(preset).encode("utf-8")
    if len(data) > LONGEST_PRESET:
        raise NotSaved("over 1 MiB with its text, too long for a preset: save the text as a file and open that")
    real = Path(os.path.realpath(path))
    aside = real.with_name(f".{real.name[:200]}.{os.getpid()}.{secrets.token_hex(3)}")
    try:
        mode = real.stat().st_mode & 0o777 if real.exists() else None
        if mode is not None and not os.access(real, os.W_OK):
            raise NotSaved(f"{path}: it may not be written; nothing is changed. Save under another name")
        with open(aside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            aside.chmod(mode)
        os.replace(aside, real)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise NotSaved(f"{path}: cannot be written ({error.strerror}); nothing is changed. Save it elsewhere") from None
