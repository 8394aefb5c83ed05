"""`workbench lesson`: the lessons there are; one of them on the screen, or unattended, held against its figures."""

import argparse
import signal
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from types import FrameType

from workbench import options
from workbench.data.visible import visible
from workbench.errors import UsageError
from workbench.headless.lines import narrate
from workbench.lab import lessons
from workbench.lab.lessons import unattended
from workbench.lab.lessons.unattended import Checked
from workbench.runs import FORMAT, directory
from workbench.runs.files import dump
from workbench.runs.signals import Interrupted


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "lesson", nargs="?", metavar="NAME", help="a name or a number of the list, or a TOML file; the list without"
    )
    parser.add_argument("--part", type=_part, metavar="N", help="begin with it; with --check, it alone")
    parser.add_argument("--check", action="store_true", help="run it unattended; exit 1 if a figure is not as expected")
    options.runs_dir(parser)
    options.screen_options(parser)
    options.json(parser)


def run(a: argparse.Namespace) -> int:
    """Lessons on batches: what to predict, then the run, then the figure of theory beside the measured one."""
    if a.lesson is None:
        if a.check or a.part or a.big or a.theme:
            raise UsageError("which lesson? `workbench lesson` lists them")
        return _list(json=a.json)
    lesson = lessons.load(a.lesson)
    if a.part and a.part > len(lesson.parts):
        raise UsageError(f"--part {a.part}: {lesson.name} has {len(lesson.parts)} parts")
    if a.check:
        if a.big or a.theme:
            raise UsageError("--big and --theme are of the screen, which --check does without")
        return _check(lesson, part=a.part, runs=a.runs_dir, json=a.json)
    if a.json:
        raise UsageError("--json goes with --check, or with the list; the screen tells by drawing")
    from workbench import screen

    return screen.open_lesson(lesson, part=a.part or 1, runs=a.runs_dir, look=a.theme, big=a.big)


def _part(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 999:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: expected the number of a part, from 1")


# ------------------------------------------------------------------------------------------ the list


def _list(*, json: bool) -> int:
    for lesson in lessons.shipped():
        if json:
            told = {
                "format": FORMAT, "type": "lesson", "number": lesson.number, "lesson": lesson.name,
                "title": lesson.title, "about": lesson.about, "parts": [part.title for part in lesson.parts],
                "seconds": lesson.seconds,
            }  # fmt: skip
            print(dump(told))
        else:
            parts = f"{len(lesson.parts)} part{'s' if len(lesson.parts) > 1 else ''}"
            print(f"L{lesson.number} {lesson.name:<13}{lesson.title} ({parts}, {_minutes(lesson.seconds)})")
            print(f"{'':16}{lesson.about}")
    return 0


def _minutes(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"


# ------------------------------------------------------------------------------------------ unattended


def _check(lesson: lessons.Lesson, *, part: int | None, runs: str | None, json: bool) -> int:
    """Run it in a temporary folder, or in the one that was named. 0 if everything came out, else 1."""
    signal.signal(signal.SIGTERM, _interrupted)
    parts = [lesson.parts[part - 1]] if part else list(lesson.parts)
    place = nullcontext(runs) if runs else tempfile.TemporaryDirectory(prefix="workbench-lesson-")
    done: list[Checked] = []
    with place as folder:
        for checked in unattended.check(
            lesson, parts, directory.runs_folder(folder), tell=(lambda text: None) if json else narrate
        ):
            done.append(checked)
            (_tell_json if json else _tell)(lesson, checked)
    ok, seconds = all(checked.ok for checked in done), sum(checked.seconds for checked in done)
    if json:
        print(dump({"format": FORMAT, "type": "lesson", "lesson": lesson.name, "ok": ok, "seconds": seconds}))
    else:
        print(f"{visible(lesson.name)}: {'as expected' if ok else 'not as expected'}, {seconds:.1f} s")
        for line in _failures(lesson, done):
            narrate(line)
    return 0 if ok else 1


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


def _tell(lesson: lessons.Lesson, checked: Checked) -> None:
    print(f"{visible(lesson.name)} {checked.part.number}: {visible(checked.part.title)}, {checked.seconds:.1f} s")
    lines = [("", "measured", "theory", "expected"), *_rows(checked)]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    for what, measured, theory, expected in lines:
        print(f"  {what:<{widths[0]}}  {measured:>{widths[1]}}  {theory:>{widths[2]}}  {expected}".rstrip())


def _rows(checked: Checked) -> list[tuple[str, str, str, str]]:
    return [
        (
            visible(one.what),
            one.measured_text,
            one.theory_text if one.theory is not None else "",
            one.bound + ("" if one.ok else "  ✗"),
        )
        for one in checked.outcomes
    ]


def _failures(lesson: lessons.Lesson, done: Sequence[Checked]) -> list[str]:
    """A sentence for everything that did not come out: lesson, part, figure, measured, expected."""
    lines = []
    for checked in done:
        where = f"lesson {lesson.name}, part {checked.part.number}"
        lines += [f"{where}: {one.figure}: {one.sentence}" for one in checked.outcomes if not one.ok]
        lines += [f"{where}: {why}" for why in checked.missing]
    return lines


def _tell_json(lesson: lessons.Lesson, checked: Checked) -> None:
    for one in checked.outcomes:
        told = {
            "format": FORMAT, "type": "expect", "lesson": lesson.name, "part": checked.part.number, "what": one.what,
            "figure": one.figure, "measured": one.measured, "theory": one.theory, "expected": one.bound, "ok": one.ok,
            "why": one.why,
        }  # fmt: skip
        print(dump(told))
    told = {
        "format": FORMAT, "type": "part", "lesson": lesson.name, "part": checked.part.number,
        "title": checked.part.title, "seconds": checked.seconds, "ok": checked.ok,
    }  # fmt: skip
    print(dump(told), flush=True)
