"""Presets on the disk: what saving over a file would lose, and writing one whole."""

import os
import re
import secrets
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.preset import Preset, to_toml
from workbench.preset.files import LONGEST_PRESET

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
    data = to_toml(preset).encode("utf-8")
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
