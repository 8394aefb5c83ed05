"""The keys of the screen: one table that dispatch, footer, help and palette read.

A key without panes works everywhere; one with panes works while one of them has the focus. Every action is one of
the screen's, the application's or the pane's, `action_<action>`. None of them needs a mouse, none is one that a
terminal gives another meaning (ctrl+h, i, j, m; ctrl+a and ctrl+b under tmux and screen).
"""

from collections.abc import Collection
from dataclasses import dataclass

from textual.binding import Binding, BindingType

from workbench.screen.frame.slots import BATCH, CHARTS, DATA, KNOBS, LAB, LESSON, NAMES, RUNS, SAMPLES, STEP, TITLES


@dataclass(frozen=True)
class Key:
    """`keys` as Textual names them, `shown` as people do. `rank` orders the footer, 0 keeps it out; `steers` needs a
    run that may be steered, so a read-only screen refuses it."""

    keys: str
    shown: str
    action: str
    label: str
    help: str
    panes: tuple[int, ...] = ()
    rank: int = 0
    steers: bool = False


_ROWS = (BATCH, STEP)

KEYS = (
    Key("space", "space", "space", "start/pause", "start a run, pause it, let it go on", rank=1, steers=True),
    Key("full_stop", ".", "micro", "micro", "one micro-batch, then wait inside the step", rank=14, steers=True),
    Key("greater_than_sign", ">", "one_step", "step", "one whole step, then wait", rank=13, steers=True),
    Key("minus", "-", "pace(-1)", "slower", "pace: full, 100, 10, 1 step a second", rank=21, steers=True),
    Key("equals_sign", "=", "pace(1)", "faster", "pace: 1, 10, 100 steps a second, full", rank=22, steers=True),
    Key("X", "X", "stop", "stop", "stop the run: it finishes its step and saves first", rank=15, steers=True),
    Key("U", "U", "rewind", "to checkpoint", "go back to the last checkpoint", rank=25, steers=True),
    Key("R", "R", "resume", "resume", "go on with this run from its last checkpoint", rank=16, steers=True),
    Key("M", "M", "mend", "mend", "after a divergence or out of memory: go on as offered", rank=2, steers=True),
    Key("exclamation_mark", "!", "culprit", "culprit", "the rows of the record that made the run diverge", rank=3),
    Key("a", "a", "apply", "apply", "apply the staged knobs", rank=2, steers=True),
    Key("u", "u", "undo", "undo", "take the last edit back", rank=11, steers=True),
    Key("ctrl+r", "^r", "redo", "redo", "make again the edit that was taken back", rank=23, steers=True),
    Key("asterisk", "*", "scale_lr(10)", "lr·10", "multiply lr by ten (staged)", rank=18, steers=True),
    Key("slash", "/", "scale_lr(0.1)", "lr/10", "divide lr by ten (staged)", rank=19, steers=True),
    Key("left_square_bracket", "[", "rows(-1)", "rows before", "the rows of the step before", rank=17),
    Key("right_square_bracket", "]", "rows(1)", "rows after", "the rows of the step after", rank=17),
    Key("g", "g", "goto", "go to", "the rows of any step, or rows at given starts", rank=20),
    Key("t", "t", "corpus", "own text", "type or paste a sentence as the corpus", rank=12),
    Key("ctrl+o", "^o", "presets", "presets", "open a preset", rank=24),
    Key("ctrl+s", "^s", "save", "save preset", "save the preset under its name or another", rank=26),
    Key("ctrl+e", "^e", "lessons", "lessons", "choose a lesson; what trains goes on", rank=27),
    Key("backspace", "bksp", "lesson", "lesson", "back to the lesson that is open", rank=2),
    Key("y", "y", "copy", "copy command", "copy and show the headless command of what is on the screen", rank=10),
    Key("0", "0", "whole", "whole", "give the whole screen to this pane, and take it back", rank=9),
    Key("ctrl+l", "^l", "draw_anew", "draw anew", "draw the whole screen again, after something else wrote on it"),
    Key("tab", "tab", "cycle(1)", "next", "the next pane"),
    Key("shift+tab", "⇧tab", "cycle(-1)", "previous", "the pane before"),
    Key("escape", "esc", "leave", "leave", "leave what was entered; whole screen back", rank=3),
    Key("ctrl+p", "^p", "command_palette", "palette", "every command, searched by name", rank=9),
    Key("question_mark", "?", "help", "help", "the keys, on a page; on a knob, what it means", rank=3),
    Key("ctrl+z", "^z", "to_shell", "to the shell", "back to the shell for a while; `fg` comes back here"),
    Key("q,ctrl+c", "q", "leave_screen", "quit", "leave: the run may go on", rank=4),
    # ------------------------------------------------------------------------------------- in a pane
    Key("enter", "enter", "edit", "edit", "type a value", (KNOBS,), 5, steers=True),
    Key("left,h", "←→", "nudge(-1)", "less/more", "less", (KNOBS,), 7, steers=True),
    Key("right,l", "→", "nudge(1)", "more", "more", (KNOBS,), steers=True),
    Key("L", "L", "lock", "lock", "keep B·T·accum while one of them moves", (KNOBS,), 8, steers=True),
    Key("S", "S", "next_rule", "lr rule", "lr where B·T·accum changed: none, linear, √", (KNOBS,), 7, steers=True),
    Key("d", "d", "discard", "discard", "forget what is staged", (KNOBS,), 8, steers=True),
    Key("w", "w", "differs", "differs", "what differs from the loaded preset", (KNOBS,), 8),
    Key("up,k", "↑↓", "move(-1)", "choose", "the line above", (DATA, KNOBS, RUNS, LAB), 6),
    Key("down,j", "↓", "move(1)", "down", "the line below", (DATA, KNOBS, RUNS, LAB)),
    Key("enter", "enter", "choose", "choose", "take this dataset; fetch it where it is not here", (DATA,), 5),
    Key("o", "o", "open", "open file", "open any file or folder as the corpus", (DATA,), 7),
    Key("e", "e", "edges", "edges", "show the tokens' edges, or the plain text", (DATA,), 8),
    Key("x", "x", "cancel", "cancel", "cancel the download or the tokenising", (DATA,), 9),
    Key("up,k", "↑↓←→", "cursor(0,-1)", "cursor", "one row up", _ROWS, 5),
    Key("down,j", "↓", "cursor(0,1)", "down", "one row down", _ROWS),
    Key("left,h", "←", "cursor(-1,0)", "left", "one token to the left", _ROWS),
    Key("right,l", "→", "cursor(1,0)", "right", "one token to the right", _ROWS),
    Key("pageup", "PgUp", "page(-1)", "page up", "a page of rows up", (BATCH,)),
    Key("pagedown", "PgDn", "page(1)", "page down", "a page of rows down", (BATCH,)),
    Key("i", "i", "ids", "ids", "token ids, or their text", (BATCH,), 7),
    Key("c", "c", "shade", "losses", "ask the worker for this step's losses and guesses", (BATCH,), 8, steers=True),
    Key("f", "f", "follow", "follow", "the rows of the step that trains now", (BATCH,), 9),
    Key("z", "z", "zoom", "zoom", "zoom mode: ←→ pan, ↑↓ zoom, esc leaves", (CHARTS,), 5),
    Key("v", "v", "inspect", "cursor", "a cursor with values: ←→ move it", (CHARTS,), 6),
    Key("f", "f", "follow", "follow", "follow the run; again: the whole run", (CHARTS,), 7),
    Key("m", "m", "smooth", "smooth", "smoothing: off, 0.9, 0.99, 0.999", (CHARTS,), 8),
    Key("l", "l", "log", "log y", "logarithmic y", (CHARTS,), 8),
    Key("x", "x", "axis", "axis", "x by step, tokens, FLOPs or time", (CHARTS,), 8),
    Key("o", "o", "overlay", "overlay", "other runs over this one", (CHARTS,), 8),
    Key("p", "p", "predict", "predict", "predict first: loss at step 0 and at the end", (CHARTS,), 9),
    Key("enter", "enter", "rows", "its rows", "the rows of the step under the cursor", (CHARTS,), 7),
    Key("left", "←", "sideways(-1)", "left", "pan, or move the cursor", (CHARTS,)),
    Key("right", "→", "sideways(1)", "right", "pan, or move the cursor", (CHARTS,)),
    Key("shift+left,pageup", "⇧←", "sideways(-10)", "ten left", "ten columns to the left", (CHARTS,)),
    Key("shift+right,pagedown", "⇧→", "sideways(10)", "ten right", "ten columns to the right", (CHARTS,)),
    Key("home", "home", "ends(-1)", "first step", "the cursor on the first step", (CHARTS,)),
    Key("end", "end", "ends(1)", "last step", "the cursor on the last step", (CHARTS,)),
    Key("up", "↑", "magnify(1)", "zoom in", "zoom in", (CHARTS,)),
    Key("down", "↓", "magnify(-1)", "zoom out", "zoom out", (CHARTS,)),
    Key("left,h", "←→", "scrub(-1)", "earlier/later", "the sample before", (SAMPLES,), 5),
    Key("right,l", "→", "scrub(1)", "later", "the sample after", (SAMPLES,)),
    Key("n", "n", "sample", "sample now", "write a sample now", (SAMPLES,), 6, steers=True),
    Key("enter", "enter", "open", "open", "open this run", (RUNS,), 5),
    Key("o", "o", "overlay", "overlay", "draw it over the run that is open", (RUNS,), 7),
    Key("D", "D", "delete", "delete", "delete this run, after a question", (RUNS,), 8, steers=True),
    Key("e", "e", "log", "events", "runs, events, or the worker's log", (RUNS,), 7),
    Key("f", "f", "filter", "filter", "show only what holds a text", (RUNS,), 8),
    Key("pageup", "PgUp", "page(-1)", "page up", "a page up", (RUNS, LAB)),
    Key("pagedown", "PgDn", "page(1)", "page down", "a page down", (RUNS, LAB)),
    Key("home", "home", "ends(-1)", "first", "the first line", (RUNS,)),
    Key("end", "end", "ends(1)", "last", "the last line, and what comes after it", (RUNS,)),
    Key("left,h", "←→", "turn(-1)", "less/more", "less, or the choice before", (LAB,), 7),
    Key("right,l", "→", "turn(1)", "more", "more, or the next choice", (LAB,)),
    Key("enter", "enter", "act", "type/take", "type a value; take the row; else measure", (LAB,), 5),
    Key("r", "r", "measure", "measure", "start what the view measures", (LAB,), 5),
    Key("x", "x", "end", "end it", "end what is being measured", (LAB,), 5),
    Key("a", "a", "take", "to the knobs", "take it into the knobs; again: apply them", (LAB,), 6, steers=True),
    Key("L", "L", "hold", "lock", "lock a number, or free it: it gives way to nothing", (LAB,), 8),
    Key("p", "p", "view('plan')", "plan", "tokens a step = B·T·accum·world, from scratch", (LAB,), 9),
    Key("f", "f", "view('fit')", "fit", "the largest and the fastest B, measured", (LAB,), 9),
    Key("c", "c", "view('check')", "check", "accumulation, the gradient, the last position", (LAB,), 9),
    Key("s", "s", "view('sweep')", "sweep", "runs for every value of a key", (LAB,), 9),
    Key("m", "m", "view('compare')", "compare", "the open run and those over it", (LAB,), 9),
    Key("enter,right", "enter", "go_on", "go on", "the next page; start the runs; the next part", (LESSON,), 1),
    Key("space", "space", "go_on(True)", "go on", "the same; while the part's run trains: pause it", (LESSON,), 1),
    Key("left", "←", "go_back", "back", "the page before", (LESSON,), 2),
    Key("r", "r", "restart", "restart", "this part from its beginning: its runs are forgotten", (LESSON,), 3),
    Key("x", "x", "axis", "axis", "the charts' x: steps, tokens, time, FLOPs", (LESSON,), 6),
    Key("up", "↑↓", "choose(-1)", "choose", "the answer above", (LESSON,)),
    Key("down", "↓", "choose(1)", "choose", "the answer below", (LESSON,)),
    Key("pagedown", "PgDn", "part(1)", "next part", "the next part, without doing this one", (LESSON,), 4),
    Key("pageup", "PgUp", "part(-1)", "part before", "the part before", (LESSON,), 5),
)  # fmt: skip


def bindings(pane: int | None = None) -> list[BindingType]:
    """Textual's bindings of the screen (None) or of one pane."""
    return [Binding(key.keys, key.action, key.label) for key in KEYS if (pane in key.panes if pane else not key.panes)]


_ALIVE = ("running", "paused")
_OF_USE = {
    "micro": _ALIVE, "one_step": _ALIVE, "pace(-1)": _ALIVE, "pace(1)": _ALIVE,
    "stop": ("starting", "waiting", *_ALIVE),
    "rewind": ("checkpoint",), "resume": ("resumable",), "mend": ("offered",),
    "culprit": ("culprit",), "apply": ("staged",), "discard": ("staged",),
    "undo": ("undo",), "redo": ("redo",), "shade": _ALIVE, "sample": _ALIVE, "follow": ("run",), "inspect": ("run",),
    "zoom": ("run",), "smooth": ("run",), "overlay": ("run",), "rows": ("run",), "scrub(-1)": ("run",),
    "space": ("ready", "over", *_ALIVE), "lesson": ("lesson",), "leave": ("asks",), "go_on(True)": ("trains", "halted"),
    "next_rule": ("scaled",), "hold": ("plan",), "measure": ("measures",), "end": ("asking",),
    "take": ("takes", "staged"), "view('plan')": ("fit", "check", "sweep", "compare"),
    "view('fit')": ("plan", "check", "sweep", "compare"), "view('check')": ("plan", "fit", "sweep", "compare"),
    "view('sweep')": ("plan", "fit", "check", "compare"), "view('compare')": ("plan", "fit", "check", "sweep"),
}  # fmt: skip
"""By action: the footer leaves it out unless one of these is so (see `footer`)."""
_OF_NO_USE = {"go_on": "waits"}
"""By action: the footer leaves it out while this is so."""
_CALLED_FOR = {
    "one_step": "paused", "micro": "paused", "stop": "starting", "resume": "resumable", "mend": "offered",
    "culprit": "culprit", "apply": "staged",
    "discard": "staged", "whole": "whole", "predict": "ready", "lesson": "lesson",
    "next_rule": "scaled", "take": "takes", "end": "asking",
}  # fmt: skip
"""By action: what brings it to the front of the footer."""
_CALLED = {
    "space": {"ready": "start", "running": "pause", "paused": "go on", "done": "start anew", "over": "go on?"},
    "stop": {"starting": "cancel the start"},
    "whole": {"whole": "all panes"},
    "take": {"takes": "to the knobs", "staged": "apply"},
    "leave": {"asks": "leave the question"},
    "go_on": {"rests": "answer it", "blank": "skip", "asks": "answer"},
    "go_on(True)": {"trains": "pause", "halted": "go on"},
}
"""By action: what the footer calls it while something is so; else its own label."""
ALWAYS = ("help", "leave_screen")
"""The actions whose keys the footer shows at every width, at its end."""
_MOVES = frozenset("←→↑↓⇧")


def footer(pane: int, now: Collection[str]) -> list[tuple[Key, str]]:
    """The keys that the footer shows while a pane has the focus, the likeliest first, each with what to call it.

    `now` is what is so: "ready", "starting", "running", "paused" or "over" (and "done"), with those of "run" (one is
    open), "resumable", "checkpoint", "staged", "undo", "redo", "whole", "lesson" (one is open elsewhere) and
    "read-only" that are, and what the pane says of itself. While it "asks", what is typed answers: no character is a
    key of its own but the help's.
    """
    own = {key.keys for key in KEYS if pane in key.panes}
    found = [
        key
        for key in KEYS
        if key.rank
        and (pane in key.panes if key.panes else key.keys not in own)
        and (key.action not in _OF_USE or any(it in now for it in _OF_USE[key.action]))
        and _OF_NO_USE.get(key.action) not in now
        and not ("asks" in now and len(key.shown) == 1 and key.shown.isascii() and key.shown != "?")
        and not (key.steers and "read-only" in now)
    ]
    found.sort(key=lambda key: (key.keys != "space", _CALLED_FOR.get(key.action) not in now, key.rank))
    return [
        (key, next((name for it, name in _CALLED.get(key.action, {}).items() if it in now), key.label)) for key in found
    ]


def commands(*, lesson: bool = False) -> list[tuple[Key, str]]:
    """What the palette offers, in the table's order: every key that does something, and what it does. Those of a
    lesson only where one is open."""
    return [
        (key, f"{NAMES[key.panes[0]]}: {key.help}" if key.panes else key.help)
        for key in KEYS
        if (lesson or (key.panes != (LESSON,) and key.action != "lesson"))
        and not _MOVES.intersection(key.shown)
        and key.shown not in ("PgUp", "PgDn", "home", "end", "tab", "esc", "^p")
    ]


def help_of(pane: int) -> list[tuple[str, list[Key]]]:
    """The help page: the pane's own keys, then the general ones, then the other panes'."""
    own = [(NAMES[pane], [k for k in KEYS if pane in k.panes])]
    general = [("Everywhere", [k for k in KEYS if not k.panes])]
    others = [(title, [k for k in KEYS if n in k.panes]) for n, title in TITLES.items() if n != pane]
    return [(title, keys) for title, keys in own + general + others if keys]
