"""The command line of what is on the screen: `workbench --headless …`, the same run without a screen, bit for bit."""

import os
from pathlib import Path

from workbench import preset as presets
from workbench.errors import UsageError
from workbench.lab.lessons import Lesson
from workbench.preset import Preset, PresetError
from workbench.runs import directory
from workbench.screen.bench.bench import Bench
from workbench.screen.bench.edits import assignment, flat

LONGEST = 1 << 16
"""Bytes of a line that may be copied: a shell takes 128 KiB an argument, a terminal's clipboard about 74 KB."""


class NoCommand(UsageError):
    """No command line says what is on the screen; the message tells what to do about it."""


def meaning(bench: Bench) -> str:
    """What the command of the screen does, in words."""
    run = bench.run
    if run is None or not (run.alive or not bench.changed_since):
        return "The settings on the screen, trained without one:"
    if run.of("edit"):
        return f"{run.name} again, with every edit at its step:"
    staged = " What is staged is not in it." if bench.staged else ""
    return f"{run.name} again, without a screen.{staged}"


def command_of(bench: Bench) -> list[str]:
    """Its words, not yet quoted for a shell. Reads the preset's file again: the line holds for the file as it is now.

    A run is told by itself as long as the settings on the screen are its own; changed ones are told as the run that
    `space` would start. Raises NoCommand where saving has to come first.
    """
    run = bench.run
    if run is not None and (run.alive or not bench.changed_since):
        return command_of_run(run.path, edited=bool(run.of("edit")), runs=bench.runs)
    words = ["workbench", "--headless", *of_preset(bench.source, bench.path, bench.draft), *_runs_dir(bench.runs)]
    if sum(len(word.encode("utf-8")) + 3 for word in words) > LONGEST:
        raise NoCommand(
            "this text is too long for a command line: ctrl+s saves it with the preset, then y copies the line"
        )
    return words


def command_of_run(path: Path, *, edited: bool, runs: Path) -> list[str]:
    """The words that train a run again. One that was edited is told by `replay`, which makes the edits again."""
    if edited:
        name = path.name if path.parent == runs else _short(path)
        return ["workbench", "replay", name, *_runs_dir(runs)]
    return ["workbench", "--headless", _short(path / "preset.toml"), *_runs_dir(runs)]


def of_preset(source: str, path: Path | None, draft: Preset) -> list[str]:
    """The preset's name and the `--set` words over it, from which `preset.load` makes the draft.

    They are tried before they are told. Raises NoCommand where the file is gone or broken, or cannot be made into it.
    """
    named = _named(source, path)
    try:
        words = assignments(presets.load(named).preset, draft)
        made = presets.load(named, sets=words[1::2]).preset
        missing = [key for key, value in flat(draft).items() if flat(made).get(key) != value]
        if missing:  # a default that came with another kind
            words += [word for key in missing for word in ("--set", assignment(key, presets.get(draft, key)))]
            made = presets.load(named, sets=words[1::2]).preset
    except PresetError as error:
        raise NoCommand(f"{error.problems[0]}: ctrl+s saves the settings to a file, then y copies the line") from None
    if presets.to_document(made) != presets.to_document(draft):
        raise NoCommand(f"{named} cannot be made into these settings: ctrl+s saves them, then y copies the line")
    return [named, *words]


def command_of_lesson(
    lesson: Lesson, part: int, *, runs: Path, look: str | None = None, big: bool = False
) -> list[str]:
    """The words that open a lesson at one of its parts, on a screen that looks the same."""
    name = lesson.name if lesson.number else _short(lesson.path)
    looks = [*(["--theme", look] if look else []), *(["--big"] if big else [])]
    return ["workbench", "lesson", name, "--part", str(part), *_runs_dir(runs), *looks]


def assignments(loaded: Preset, now: Preset) -> list[str]:
    """The `--set KEY=VALUE` that make `now` of `loaded`, those that change a kind first."""
    changed = presets.changes(loaded, now)
    keys = sorted(changed, key=lambda key: not key.endswith(".kind"))
    return [word for key in keys for word in ("--set", assignment(key, changed[key][1]))]


def _named(source: str, path: Path | None) -> str:
    """A shipped name where it means the same file here and now, else the path."""
    known = presets.shipped()
    if path is None:
        return _short(Path(source))
    for name, shipped in known.items():
        if path == shipped and not os.path.lexists(name):
            return name
    return _short(path)


def _runs_dir(runs: Path) -> list[str]:
    return [] if runs == directory.runs_folder() else ["--runs-dir", _short(runs)]


def _short(path: Path) -> str:
    """A path from the working directory where it lies below it."""
    try:
        below = path.absolute().relative_to(Path.cwd())
    except (ValueError, OSError):
        return str(path.absolute())
    text = str(below)
    return text if os.sep in text else f".{os.sep}{text}"
