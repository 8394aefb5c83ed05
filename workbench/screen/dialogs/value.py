"""Asking for the value of one knob."""

from typing import TYPE_CHECKING, Any

from workbench import preset as presets
from workbench.preset import PresetError
from workbench.screen.bench.edits import shortened, shown, told, written
from workbench.screen.dialogs.base import Choice, Line

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench
    from workbench.screen.main import Main


async def ask(main: "Main", name: str) -> None:
    """Ask for a value of the key and stage it, or change the draft; nothing that does not fit is taken."""
    bench, key = main.bench, presets.KEYS[name]
    value = presets.get(bench.proposed, name)
    changes: dict[str, Any] | None = None
    if name == "data.text":
        main.action_corpus()
        return
    if key.kind_of_value == "yes or no":
        changes = {name: not value}
    elif key.choices:
        options = [(str(n), choice + (" (now)" if choice == value else "")) for n, choice in enumerate(key.choices, 1)]
        answer = await main.app.push_screen_wait(Choice(name, what_it_is(bench, name), options))
        changes = {name: key.choices[int(answer) - 1]} if answer else None
    else:
        line = Line(name, what_it_is(bench, name), written(value), check=lambda text: wrong_with(bench, name, text))
        answer = await main.app.push_screen_wait(line)
        changes = typed(name, answer) if answer is not None else None
    if changes:
        bench.change(changes)
        main.refresh_now()


def what_it_is(bench: "Bench", name: str) -> str:
    """What a key means, what is expected, its default, and whether a running run takes it."""
    key = presets.KEYS[name]
    default = presets.get(presets.Preset(), name)
    expected = key.expected[0].upper() + key.expected[1:]
    lives = "acts at the next step of a running run" if bench.can_live(name) else "needs a new run"
    of = f" Of kind {' and '.join(key.kinds)}." if key.kinds else ""
    held = f"Default {_told(default)} · in force {_told(presets.get(bench.as_new, name))} · {lives}"
    return f"{key.doc}\n\n{expected}.{of}\n{held}"


def typed(name: str, text: str) -> dict[str, Any]:
    """The change that a typed text makes, as `--set` reads it; whole numbers may be grouped. Raises PresetError."""
    if presets.KEYS[name].kind_of_value == "whole number":
        text = text.replace(",", "")
    key, value = presets.parse_assignment(f"{name}={text}")
    return {key: value}


def wrong_with(bench: "Bench", name: str, text: str) -> str:
    """Why a typed text cannot be the key's value, "" if it can."""
    try:
        return bench.wrong_with(typed(name, text))
    except PresetError as error:
        return told(error)


def _told(value: object) -> str:
    """A value in a sentence: a text shows where it begins and ends."""
    if isinstance(value, str):
        return shortened(written(value[:40])) if value else '""'
    return shown(value)
