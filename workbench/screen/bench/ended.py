"""What a run that is over leaves to the screen: its settings as the next draft, and its last words. No Textual."""

from collections.abc import Mapping
from typing import Any

from workbench import preset as presets
from workbench.preset import Preset, PresetError
from workbench.screen.bench.edits import sentence
from workbench.screen.bench.follow import Followed
from workbench.screen.bench.live import takes
from workbench.screen.bench.notice import Notice
from workbench.screen.runs.telling import trouble
from workbench.screen.runs.worker_log import tail


def next_draft(ended: Preset, pending: Mapping[str, Any]) -> Preset:
    """The settings that a run ended with, and what was on its way to it or staged."""
    try:
        return presets.apply(ended, pending) if pending else ended
    except PresetError:  # another client's edit has made it impossible
        return ended


def resumable(run: Followed, begun: Preset, draft: Preset) -> dict[str, Any]:
    """What a draft has changed since the run ended with `begun`, and a resume takes."""
    changed = presets.changes(begun, draft)
    return {key: new for key, (_, new) in changed.items() if takes(run.live, key, new)}


def last_words(run: Followed, offered: Mapping[str, Any]) -> Notice | None:
    """How it ended and what its worker said last; None where it was told to end."""
    if words := trouble(run, sentence(offered)):
        last = next((line for line in reversed(tail(run.path).lines) if line.strip()), "")
        return Notice(f"{run.name}: {words}" + (f"\nIts last words: {last.strip()}" if last else ""), "error")
    return Notice(f"{run.name} is done; 6 shows what it came to") if run.state == "done" else None
