"""A run's events in words, and its trouble with what to do about it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from workbench.runs.events import Event
from workbench.screen.bench.follow import Followed
from workbench.screen.runs.shelf_of_runs import loss, short


@dataclass(frozen=True)
class Told:
    """One event as one line: when it was (of this machine's clock), after which step, of what kind, and what."""

    at: datetime | None
    step: int | None
    kind: str
    what: str
    """As it was written: it may hold anything, and is made fit for cells where it is drawn."""
    ink: str = ""


def told(events: Iterable[Event]) -> list[Told]:
    """The events that say something to a person, in order.

    An answer says it where a command was turned away; one that was granted shows in what it did.
    """
    return [_told(event) for event in events if event.get("type") != "answer" or _turned_away(event)]


class Tale:
    """The events of one run after another as lines: what has been told already is not told again."""

    def __init__(self) -> None:
        self._events: Sequence[Event] = ()
        self._lines: list[Told] = []

    def lines(self, events: Sequence[Event]) -> list[Told]:
        """`told` of `events`; those of an EventReader, whose objects stay the same from look to look."""
        n = len(self._events)
        if n and n <= len(events) and events[0] is self._events[0] and events[n - 1] is self._events[-1]:
            if n < len(events):
                self._lines = self._lines + told(events[n:])
        else:
            self._lines = told(events)
        self._events = events
        return self._lines


def _turned_away(event: Event) -> bool:
    return event.get("state") in ("refused", "expired")


def _told(event: Event) -> Told:
    kind = str(event.get("type", "?"))
    try:
        what, ink = _WORDS.get(kind, _anything)(event)
    except (LookupError, TypeError, ValueError, AttributeError):  # written by another version, or by hand
        what, ink = _anything(event)
    step = event.get("step", 0 if kind == "start" else None)
    return Told(_when(event.get("at")), step if isinstance(step, int) else None, kind, what, ink)


def _when(at: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(at)).astimezone()
    except (ValueError, OverflowError, OSError):
        return None


def _start(e: Event) -> tuple[str, str]:
    return f"{e['params']:,} parameters, vocabulary {e['vocab']:,}, {e['device']} {e['precision']}", "good"


def _eval(e: Event) -> tuple[str, str]:
    val, ppl = e["val_loss"], e.get("perplexity")
    parts = [f"val {loss(val)}"] if val is not None else []
    parts.append(f"train {loss(e['train_loss'])}")
    parts += [f"ppl {ppl:,.2f}"] if ppl is not None else []
    if "target_reached" in e:
        parts.append(f"target {e['target_reached']:g} reached")
    return "  ".join(parts), "eval"


def _sample(e: Event) -> tuple[str, str]:
    return e["text"] or "(nothing)", "dim"


def _checkpoint(e: Event) -> tuple[str, str]:
    return f"saved, the best so far: val {loss(e['val_loss'])}" if e["best"] else "saved", "dim"


def _edit(e: Event) -> tuple[str, str]:
    return f"{_changes(e['changes'])} acts from step {e['step']:,}", "edit"


def _changes(changes: dict[str, list[object]]) -> str:
    return ", ".join(f"{key.rpartition('.')[2]} {_value(a)} → {_value(b)}" for key, (a, b) in changes.items())


def _value(value: object) -> str:
    return short(value) if isinstance(value, float) else str(value)


def _answer(e: Event) -> tuple[str, str]:
    return f"a command was {e['state']}: {e['reason']}", "warn"


def _resume(e: Event) -> tuple[str, str]:
    parts = [f"attempt {e['attempt']} goes on from " + (e["checkpoint"] or "the beginning")]
    for key, words in (("edits_again", "made again"), ("edits_dropped", "dropped")):
        if e.get(key):
            parts.append(f"{len(e[key])} edit{'s' if len(e[key]) > 1 else ''} {words}")
    if e.get("re_resolved"):
        parts.append(f"resolved anew: {', '.join(e['re_resolved'])}")
    return "; ".join(parts), "good"


def _warning(e: Event) -> tuple[str, str]:
    return str(e.get("reason") or e.get("text") or e["message"]), "warn"


def _end(e: Event) -> tuple[str, str]:
    val = f", val {loss(e['val_loss'])}" if e["val_loss"] is not None else ""
    reason = f": {e['reason']}" if e["reason"] else ""
    calm = e["state"] in ("done", "stopped", "interrupted")
    return f"{e['state']} after {e['seconds']:,.1f} s of training{val}{reason}", "good" if calm else "bad"


def _anything(e: Event) -> tuple[str, str]:
    told = {key: value for key, value in e.items() if key not in ("format", "type", "time", "at", "step")}
    return json.dumps(told, separators=(",", ":")) if told else "", ""


_WORDS = {
    "start": _start, "eval": _eval, "sample": _sample, "checkpoint": _checkpoint, "edit": _edit, "answer": _answer,
    "resume": _resume, "warning": _warning, "end": _end,
}  # fmt: skip


# ------------------------------------------------------------------------------------------ trouble


def waiting(run: Followed) -> str:
    """Why training waits by itself, in a sentence; "" unless it does: the run directory cannot be written."""
    status = run.status
    if run.state != "paused" or status is None or not status.phase.startswith(_WAITS):
        return ""
    return status.reason or f"{status.phase.removeprefix(_WAITS)}; it goes on by itself when it can write again"


def end_of(run: Followed) -> Event:
    """The end event of the attempt that is over; empty where there is none."""
    return next((e for e in reversed(run.events) if e["type"] in ("end", "start", "resume")), {})


def culprit(run: Followed) -> str:
    """The rows that made it diverge, in a few words; "" where nobody knows them."""
    found = end_of(run).get("culprit") or {}
    record, micro, rows = found.get("record"), found.get("micro"), found.get("rows")
    if type(record) is not int or not isinstance(rows, list):
        return ""
    named = [
        f"row {row.get('row')} at token {row.get('offset')} “{row.get('text')}”"
        for row in rows
        if isinstance(row, dict)
    ]
    return f"record {record:,}, micro-batch {micro}: {', '.join(named[:ROWS_TOLD])}; ! shows its rows"


def record_of(run: Followed) -> int | None:
    """The record that made it diverge."""
    record = (end_of(run).get("culprit") or {}).get("record")
    return record if type(record) is int and record >= 0 else None


def trouble(run: Followed, offer: str = "") -> str:
    """What has gone wrong with a run and what helps; "" where nothing has. `offer` are the settings that M takes."""
    status, state = run.status, run.state
    if (why := waiting(run)) and not run.reading:
        return f"training waits: {why}"
    if state not in _HELP or run.reading:
        return ""
    saved = run.last("checkpoint")
    start = f"step {saved['step']:,}" if saved else "its beginning (no checkpoint)"
    if state == "lost":
        if status is None:
            what = "the worker never said anything"
        elif status.alive() is None:
            what = f"no heartbeat from {status.host}: its worker is gone, or cut off"
        else:
            what = f"the worker is gone (pid {status.pid})"
    elif state == "unresponsive":
        what = f"the worker (pid {status.pid if status else '?'}) is there, and silent"
    else:
        what = _reason(status.reason if status else "", state)
    told = [what]
    told += [f"M goes on from {start} with {offer}"] if offer else [_ELSE[state]] if state in _ELSE else []
    told += [culprit(run)] if state == "diverged" else []
    return "; ".join([*filter(None, told), _HELP[state].format(start=start)])


def _reason(reason: str, state: str) -> str:
    """The state and the worker's reason for it, up to its own advice."""
    reason = reason.partition("; ")[0].rstrip(".")
    if not reason:
        return state
    return reason if reason.startswith((state, "out of memory")) else f"{state}: {reason}"


_WAITS = "waiting: "
"""How the phase of a run begins that waits for its directory to be written again."""
ROWS_TOLD = 2
"""Of those that made a run diverge: the events hold the others."""
_ELSE = {"out-of-memory": "a smaller B with more accum needs less", "diverged": "a lower lr may not"}
_HELP = {
    "lost": "R resumes from {start}; e shows its last words",
    "unresponsive": "one long step, a stopped process or a slow disk; e shows its log",
    "failed": "mend it, then R resumes from {start}; e shows its log",
    "out-of-memory": "R resumes from {start} as it was",
    "diverged": "R repeats it from {start} as it was",
}
