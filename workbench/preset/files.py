"""Where presets are: by path or by shipped name, read as TOML, their dataset's path made absolute."""

import os
import re
import sys
import tomllib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from workbench.preset.errors import PresetError, line, nearest, printable

NAMED_DATASETS = ("python-docs", "python-source", "unicode-names", "markov", "shakespeare", "names")

_DEEPEST = 64
"""Dots on one line of TOML, outside of its strings: a key has one. The parser's time grows with their square."""

_STRINGS = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*',
    re.DOTALL,
)

# A preset is a page. What is much longer is a corpus named by mistake, and is not worth parsing.
LONGEST_PRESET = 2**20


def shipped() -> dict[str, Path]:
    """The presets that come with the program, by name."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "presets", package.parent / "presets"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.toml"))}
    return {}


def locate(source: str) -> tuple[Path, list[str]]:
    """The file that `source` means, and what to tell about the choice.

    A file of that path wins; then a shipped name; then `presets/NAME.toml` where no such file is,
    which is how a checkout's presets are written everywhere. Raises PresetError otherwise.
    """
    if not source:
        raise PresetError(["the preset's name is empty; expected a TOML file or a shipped name such as char"])
    path = Path(os.path.expanduser(source))
    try:
        if path.is_file():
            return path, []
        exists, folder = path.exists(), path.is_dir()
    except (OSError, ValueError) as error:
        raise PresetError([line(source, "", f"this preset cannot be read: {_reason(error)}")]) from None
    known = shipped()
    if source in known:
        return known[source], []
    if not exists and path.suffix == ".toml" and path.parent == Path("presets") and path.stem in known:
        found = known[path.stem]
        return found, [f"{printable(source)} is not here: using the shipped preset {printable(str(found))}"]
    if folder:
        raise PresetError([line(source, "", "this is a folder; expected a preset, a TOML file")])
    if exists:
        raise PresetError([line(source, "", "this is not a regular file; expected a preset, a TOML file")])
    near = nearest(path.stem, known) if path.stem else None
    meant = f"did you mean {near}? " if near else ""
    raise PresetError([line(source, "", f"no such file and no shipped preset; {meant}shipped are {', '.join(known)}")])


def read(path: Path | None, source: str) -> dict[str, Any]:
    """The TOML document in `path`, None for stdin. Raises PresetError naming `source`, and the line where TOML ends."""
    try:
        with path.open("rb") if path else nullcontext(sys.stdin.buffer) as file:
            raw = file.read(LONGEST_PRESET + 1)
    except OSError as error:
        raise PresetError([line(source, "", f"this preset cannot be read: {_reason(error)}")]) from None
    if path is None and not raw.strip():  # what should have written it has failed
        raise PresetError([line(source, "", "nothing came; expected a preset, as TOML")])
    if len(raw) > LONGEST_PRESET:
        raise PresetError(
            [
                line(
                    source,
                    "",
                    "over 1 MiB, too long for a preset; a corpus is named in one, as data.dataset = PATH",
                )
            ]
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = raw.count(b"\n", 0, error.start) + 1
        raise PresetError(
            [line(source, "", f"line {at}: byte {raw[error.start]:#04x} is not UTF-8; expected a TOML file")]
        ) from None
    try:
        return parse(text)
    except RecursionError:
        raise PresetError([line(source, "", "lists or tables nested too deeply; expected a preset")]) from None
    except ValueError as error:  # TOMLDecodeError, or a whole number of more than 4,300 digits
        said = str(error)
        place = re.search(r"\(at line (\d+), column (\d+)\)", said)
        at = int(place[1]) if place else text.count("\n") + 1
        raise PresetError([line(source, "", f"line {at}: not TOML: {printable(said)}")]) from None


def parse(text: str) -> dict[str, Any]:
    """The TOML document that `text` is. ValueError, or RecursionError, for what is none, or would take for ever."""
    bare = _STRINGS.sub(lambda found: "\n" * found[0].count("\n"), text)
    for number, written in enumerate(bare.split("\n"), 1):
        if written.count(".") > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} dots; a key has one, as in batch.B (at line {number}, column 1)")
    return tomllib.loads(text)


def dataset_path(dataset: str, folder: Path) -> str:
    """`dataset` as an absolute path where it is one, seen from `folder`; a name stays as it is.

    A known name is a name, whatever lies in `folder` (write ./names for a file of that name). What has a
    separator or a suffix is a path, there or not; any other word is a path only where it exists.
    """
    if dataset in NAMED_DATASETS or not dataset or "\0" in dataset:
        return dataset
    path = Path(os.path.expanduser(dataset))
    written_as_path = os.sep in dataset or bool(path.suffix) or dataset in (".", "..", "~")
    whole = Path(os.path.abspath(folder / path))
    if written_as_path or os.path.lexists(whole):
        return str(whole)
    return dataset


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return printable(str(error))
