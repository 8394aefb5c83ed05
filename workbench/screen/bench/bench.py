"""What is on the screen, without a screen: the draft preset, the run that is followed, what is staged, what was asked.

The draft is what `space` starts. While a run is alive its own settings hold and a knob's change is staged until
`apply`; without one it changes the draft at once. Either way `undo` takes the last change back.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from workbench import preset as presets
from workbench.errors import WorkbenchError
from workbench.preset import Loaded, Preset, PresetError
from workbench.runs import commands
from workbench.runs.launch import Launch
from workbench.screen.bench import edits, ended
from workbench.screen.bench.asked import Asked, Commands
from workbench.screen.bench.edits import Edit, History, assignment, flat, outlived, sentence, told
from workbench.screen.bench.follow import Changed, Followed
from workbench.screen.bench.live import takes, unpinned
from workbench.screen.bench.looking import Looking
from workbench.screen.bench.notice import Level, Notice
from workbench.screen.bench.offer import offered
from workbench.screen.bench.text import Text
from workbench.screen.runs.telling import waiting


class Bench:
    """One screen's state. Only the application's thread calls it; the follower's thread only fills `Followed`."""

    def __init__(
        self, loaded: Loaded, *, source: str, runs: Path, world: int = 1, read_only: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.loaded, self.source, self.runs, self.world, self.read_only = loaded.preset, source, runs, world, read_only
        self.draft: Preset = loaded.preset
        self.path: Path | None = loaded.path
        """The file that the draft was loaded from or saved to."""
        self.run: Followed | None = None
        self.overlays: list[Followed] = []
        """Other runs, drawn over the open one."""
        self.launch: Launch | None = None
        self.staged: dict[str, Any] = {}
        self.locked = False
        """B·T·accum is kept while one of them moves."""
        self.step: int | None = None
        """The record whose rows are shown; None follows the run."""
        self.starts: tuple[int, ...] | None = None
        """Row starts that were typed, instead of a record's own."""
        self.text = Text(self.draft.data)
        """The corpus: open, being made ready, or why not."""
        self.looking = Looking(self)
        self.notices: list[Notice] = [Notice(note) for note in loaded.notes]
        self.predicted: tuple[float | None, float | None] = (None, None)
        """The losses that someone predicted: of step 0, and at the end."""
        self.lesson: Literal["", "open", "asks"] = ""
        """A lesson says what to do next; while it `asks` for a loss, nothing may give it away."""
        self.clock = clock
        self._asked = Commands(self.tell, clock)
        self.history = History()
        self._was_alive = False
        self._begun = self.draft
        """The draft when the run began or ended: what has been changed since is staged once it is alive."""

    # ------------------------------------------------------------------------------- what holds

    @property
    def alive(self) -> bool:
        return self.run is not None and self.run.alive

    @property
    def starting(self) -> bool:
        """A worker has been started and has not said yet where its run is."""
        return self.launch is not None and self.launch.run is None and self.launch.ended is None

    @property
    def now(self) -> Preset:
        """The settings in force: the live run's, else the draft's."""
        return self.run.live if self.run and self.run.alive else self.draft

    @property
    def as_new(self) -> Preset:
        """The settings in force as a new run would take them: a context that only a running T fixes is let go."""
        return unpinned(self.run) if self.run and self.run.alive else self.draft

    @property
    def under_way(self) -> dict[str, Any]:
        """What the run was asked to change and has not answered yet."""
        return self._asked.changes

    @property
    def coming(self) -> Preset:
        """`as_new` with what is under way: what the next change starts from."""
        try:
            return presets.apply(self.as_new, under_way) if (under_way := self.under_way) else self.as_new
        except PresetError:  # another client's edit leaves no room for it: the worker will refuse it
            return self.as_new

    @property
    def proposed(self) -> Preset:
        """`coming` with what is staged: what would hold after `apply`, in a new run where one is needed."""
        return presets.apply(self.coming, self.staged) if self.staged else self.coming

    @property
    def basis(self) -> Preset:
        """The settings that the proposed ones are a change of: the run's, as it is or as it ended, or the loaded."""
        return self.coming if self.alive else self._begun if self.run else self.loaded

    @property
    def pace(self) -> float:
        """Steps a second that the run is held to, or was asked to be held to; 0 is full speed."""
        asked = self._asked.pace
        return asked if asked is not None else self.run.status.pace if self.run and self.run.status else 0.0

    @property
    def needs_new_run(self) -> list[str]:
        """The staged keys that a running run cannot take."""
        return [key for key, value in self.staged.items() if not self.can_live(key, value)] if self.alive else []

    def can_live(self, key: str, value: Any = None) -> bool:
        """Whether a running run takes an edit of this key, and this value of it: T reaches to the model's context, and
        an mlp's is fixed by its weights."""
        return takes(self.now, key, value if self.alive else None)

    @property
    def unsaved(self) -> bool:
        """There are settings on the screen that are in no file: neither in the loaded preset nor in the run."""
        return bool(self.staged) or (self.changed_since if self.run else self.draft != self.loaded)

    @property
    def changed_since(self) -> bool:
        """The draft has been changed since the run ended."""
        return self.draft != self._begun

    @property
    def resumed_with(self) -> dict[str, Any]:
        """What has been changed since the run ended and can change in a resume."""
        return ended.resumable(self.run, self._begun, self.draft) if self.run and not self.run.alive else {}

    @property
    def offered(self) -> dict[str, Any]:
        """With what a resume may go on where the open run could not; empty where nothing is known to help."""
        return offered(self.run) if self.run else {}

    @property
    def waits(self) -> bool:
        """Training waits by itself until its directory can be written: no command lets it go on."""
        return self.run is not None and bool(waiting(self.run))

    # ------------------------------------------------------------------------------- knobs

    def change(self, changes: Mapping[str, Any], *, joined: Collection[str] = ()) -> bool:
        """Stage changes of the live run's settings, or change the draft. False, with a notice, if they do not fit.

        In a draft they are taken back together with the last change, if that moved one of the keys `joined`.
        """
        if self.locked:
            kept = edits.kept_constant(self.proposed, changes)
            if kept is None:
                self.tell(edits.not_kept(self.proposed, changes), "warning")
                return False
            changes = kept
        try:
            new, staged = self._changed(changes)
        except PresetError as error:
            self.tell(told(error), "error")
            return False
        if self.alive:
            self.staged = staged
            return True
        edit = Edit.between(self.draft, new)
        if edit.changes:
            self.history.join(edit, joined)
            self._take(new)
        return True

    def wrong_with(self, changes: Mapping[str, Any]) -> str:
        """Why these changes do not fit, one problem a line; "" if they do. Changes nothing."""
        try:
            self._changed(changes)
        except PresetError as error:
            return told(error)
        return ""

    def _changed(self, changes: Mapping[str, Any]) -> tuple[Preset, dict[str, Any]]:
        """The settings after changes, and what of them would be staged. Raises PresetError."""
        # A key that was staged for another kind goes with it.
        staged = {k: v for k, v in self.staged.items() if not outlived(k, changes)}
        new = presets.apply(self.coming, {**staged, **changes})
        differ = presets.changes(self.coming, new)
        return new, {key: differ[key][1] for key in (*staged, *changes) if key in differ}

    def apply(self) -> None:
        """Send the staged live keys to the run; those that need a new one stay staged."""
        live = {key: value for key, value in self.staged.items() if self.can_live(key, value)}
        if not self.staged:
            self.tell("nothing is staged")
        if not live:
            return
        try:
            presets.apply(self.now, {**self.under_way, **live})
        except PresetError as error:  # what it was staged together with would have made it fit
            self.tell(told(error), "error")
            return
        edit = Edit({key: (presets.get(self.coming, key), value) for key, value in live.items()})
        if self.send("set", what=sentence(live), edit=edit, changes=live):
            self.history.remember(edit)
            self.staged = {key: value for key, value in self.staged.items() if key not in live}

    def start_anew(self) -> None:
        """Stop the live run, which saves, and start a new one with everything that is staged."""
        proposed = self.proposed
        self.send("stop", quiet=True)
        self.close_run()
        self._take(proposed)
        self.start()

    def discard(self, keys: Sequence[str] | None = None) -> None:
        """Forget what is staged: all of it, or some keys."""
        gone = {key: value for key, value in self.staged.items() if keys is None or key in keys}
        self.tell(f"forgotten: {sentence(gone)}" if gone else "nothing is staged")
        self.staged = {key: value for key, value in self.staged.items() if key not in gone}

    def undo(self) -> None:
        self._again("undo")

    def redo(self) -> None:
        self._again("redo")

    def _again(self, word: Literal["undo", "redo"]) -> None:
        edit = self.history.next(word, self.coming)
        if edit is None:
            self.tell(f"nothing to {word}")
        elif self.alive:
            if dead := [key for key, value in edit.after.items() if not self.can_live(key, value)]:
                self.tell(f"{word}: {', '.join(dead)} needs a new run; this one was started with it", "warning")
            elif self.send("set", what=f"{word}: {sentence(edit.after)}", edit=edit, changes=edit.after):
                self.history.take(word)
                self.history.remember(edit)
        else:
            try:
                new = edit.made(self.draft)
            except PresetError as error:
                self.tell(told(error), "error")
                return
            self.history.take(word)
            self.history.remember(edit)
            self._take(new)
            self.tell(f"{word}: {sentence(edit.after)}")

    def _take(self, preset: Preset) -> None:
        """The draft is another one: rows, text and vocabulary follow at once."""
        data = self.draft.data
        self.draft = preset
        if preset.data != data:
            self.text.close()
            self.text = Text(preset.data)
        self.text.misfit = ""
        self.starts = None

    # ------------------------------------------------------------------------------- presets and runs

    def open_preset(self, loaded: Loaded, source: str) -> None:
        """Another preset is the draft; a run that was open is left to itself."""
        self.close_run()
        self.launch = None
        self.loaded, self.source, self.path = loaded.preset, source, loaded.path
        self.history = History()
        self._take(loaded.preset)
        self.notices += [Notice(note) for note in loaded.notes]

    def saved(self, path: Path, preset: Preset) -> None:
        """The settings are in a file now: it is what `differs` compares with, and what the headless line names."""
        self.loaded, self.source, self.path = preset, str(path), path

    def open_run(self, run: Followed) -> None:
        """Look at a run. Its settings are the next draft."""
        self.close_run()
        self.run = run
        self._was_alive = True
        if self.launch and self.launch.run == run.path:
            self._revive()
        else:
            self.launch = None
            self.loaded = self.draft = self._begun = run.preset
            self.source = str(run.path / "preset.toml")
            self.path = None
            self.history = History()
        if run.preset.data != self.text.data:
            self.text.close()
            self.text = Text(run.preset.data)

    def close_run(self) -> None:
        self.run, self.step, self.starts, self.staged = None, None, None, {}
        self._asked.clear()
        self.looking.forget()

    def start(self) -> None:
        """A new run of the draft, in a process that outlives this one. Once: a start under way is not started again."""
        if self.starting:
            assert self.launch is not None
            self.tell(f"already starting: {self.launch.phase}")
            return
        self.close_run()
        self._begun = self.draft
        self.launch = Launch(["--headless", "-", "--runs-dir", str(self.runs)], stdin=presets.to_toml(self.draft))

    def resume(self, changes: Mapping[str, Any] | None = None) -> None:
        """Go on with the open run from its last checkpoint; `changes` (of live keys) are edits at its step."""
        if self.run is None or self.run.alive or self.starting:
            self.tell("there is no run to resume" if self.run is None else f"{self.run.name} is {self.run.state}")
            return
        if self.run.state == "done" and self.draft.schedule.steps <= self.run.step:
            self.tell(f"{self.run.name} is done: more steps (4) let it go on, space starts a new run", "warning")
            return
        sets = [word for key, value in (changes or {}).items() for word in ("--set", assignment(key, value))]
        self.launch = Launch(["resume", str(self.run.path), *sets])

    # ------------------------------------------------------------------------------- commands

    def send(self, command: str, *, what: str = "", edit: Edit | None = None, quiet: bool = False, **more: Any) -> str:
        """Ask the open run's worker; its answer is told when it comes. Returns the id, "" if it could not be asked."""
        if self.read_only:
            self.tell("read-only: this screen looks and does not steer", "warning")
            return ""
        if self.run is None or not self.run.alive:
            self.tell("no run is alive: space starts one", "warning")
            return ""
        try:
            id = commands.send(self.run.path, command, **more)
        except WorkbenchError as error:
            self.tell(str(error), "error")
            return ""
        self._asked.add(id, Asked(command, what or command, self.clock(), more, edit, quiet))
        return id

    def tell(self, text: str, level: Level = "said") -> None:
        self.notices.append(Notice(text, level))

    # ------------------------------------------------------------------------------- as time goes by

    def changed(self, run: Followed, what: Changed) -> None:
        """The follower found something."""
        if run is not self.run:
            return
        if "events" in what:
            self._hear(run)
            self.looking.hear(run)
        if self._was_alive != run.alive:
            self._was_alive = run.alive
            if run.alive:
                self._revive()
            else:
                self._settle(run)
        if run.over:
            self._asked.clear()
        elif "events" in what and self.staged:  # another client may have set just that, or a resume has
            held = flat(self.coming)
            self.staged = {key: new for key, new in self.staged.items() if held.get(key) != new}

    def _settle(self, run: Followed) -> None:
        """The run is over: what it ended with, and what was on its way to it or staged, is the next draft."""
        self._begun, pending, self.staged = unpinned(run), {**self.under_way, **self.staged}, {}
        self._take(ended.next_draft(self._begun, pending))
        if words := ended.last_words(run, self.offered):
            self.notices.append(words)

    def _revive(self) -> None:
        """The run takes edits: what was changed while it could not is staged."""
        self.staged = {key: new for key, (_, new) in presets.changes(self._begun, self.draft).items()}

    def tick(self) -> set[str]:
        """Look at what moves by itself: the text being made ready, the worker being started. Returns what changed."""
        changed = set()
        if self.text.tick():
            changed.add("text")
        launch = self.launch
        if launch is not None and launch.ended is not None and launch.run is None:
            self.launch = None
            if not launch.begun:  # else there was nothing to train: done already, or unpaused
                self.tell(launch.error or f"the worker ended with exit code {launch.ended} and said nothing", "error")
            changed.add("launch")
        if self.starting:
            changed.add("launch")
        self._asked.tick(self.run.phase if self.run else "")
        self.looking.tick()
        return changed

    def _hear(self, run: Followed) -> None:
        for edit in self._asked.hear(run):
            self.history.forget(edit)
            if edit.made_by == "change":
                self.staged = {**edit.after, **self.staged}

    def close(self) -> None:
        """The screen goes; the run does not."""
        self.text.close()
