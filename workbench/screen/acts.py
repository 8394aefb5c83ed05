"""What the general keys do: to the run, to the draft, to what is shown. Mixed into the screen."""

import shlex
from typing import TYPE_CHECKING, cast

from textual import work

from workbench.screen.bench.edits import sentence
from workbench.screen.bench.rows import shown_step
from workbench.screen.dialogs.base import Choice, Line
from workbench.screen.frame.slots import BATCH
from workbench.screen.knobs.knobs import lr_changes
from workbench.screen.runs.pane import Runs
from workbench.screen.runs.telling import record_of, trouble

if TYPE_CHECKING:
    from workbench.screen.main import Main

PACES = (1.0, 10.0, 100.0, 0.0)
"""Steps a second; 0 is full speed."""


class Acts:
    """Actions of `Main`; `self` is it."""

    @property
    def _main(self) -> "Main":
        return cast("Main", self)

    # ------------------------------------------------------------------------------- start, pause, step

    @work
    async def action_space(self) -> None:
        """Start; pause and go on; after the end, ask whether to resume or to start anew."""
        main, bench = self._main, self._main.bench
        run = bench.run
        if bench.starting or run is None or (run.state == "done" and bench.draft.schedule.steps <= run.step):
            bench.start()
        elif bench.waits:
            bench.tell(trouble(run), "warning")
        elif run.state == "paused":
            bench.send("unpause", what="go on", quiet=True)
        elif run.alive:
            bench.send("pause", what="pause", quiet=True)
        else:
            await self._after_the_end()
        main.refresh_now("status", "launch")

    async def _after_the_end(self) -> None:
        bench = self._main.bench
        assert bench.run is not None
        run = bench.run
        saved = run.last("checkpoint")
        step = saved["step"] if saved else 0
        words = trouble(run, sentence(bench.offered)) or f"{run.name} is {run.state}."
        changes, where = bench.resumed_with, f"resume it from step {step:,}"
        where += "" if saved else ", its beginning (no checkpoint)"
        options = [("r", f"{where} with {sentence(changes)}" if changes else where)]
        mended = {**changes, **bench.offered}
        if bench.offered:
            options.insert(0, ("m", f"{where} with {sentence(mended)}"))
        options.append(("n", "start a new run with the settings on the screen"))
        answer = await self._main.app.push_screen_wait(Choice("Go on?", words, options))
        if answer in ("r", "m"):
            bench.resume(changes if answer == "r" else mended)
        elif answer == "n":
            bench.start()

    def action_mend(self) -> None:
        """Go on from the last checkpoint with what the run that could not go on is offered."""
        bench = self._main.bench
        if bench.offered:
            bench.resume({**bench.resumed_with, **bench.offered})
        else:
            bench.tell("nothing to mend: M goes on where a run diverged, or was out of memory")
        self._main.refresh_now("status", "launch")

    def action_culprit(self) -> None:
        """The rows of the record that made the run diverge."""
        bench = self._main.bench
        record = record_of(bench.run) if bench.run else None
        if record is None:
            bench.tell("no record is to blame here")
        else:
            bench.step, bench.starts = record, None
            self._main.house.raise_quietly(BATCH)
        self._main.refresh_now("rows", "status")

    def action_micro(self) -> None:
        bench = self._main.bench
        bench.looking.ask()
        bench.send("step", what="micro-batch", quiet=True, micro=True)
        self._main.refresh_now("status")

    def action_one_step(self) -> None:
        bench = self._main.bench
        bench.looking.ask()
        bench.send("step", what="step", quiet=True)
        self._main.refresh_now("status")

    def action_pace(self, by: int) -> None:
        bench = self._main.bench
        now = bench.pace
        at = PACES.index(now) if now in PACES else len(PACES) - 1
        rate = PACES[min(max(at + by, 0), len(PACES) - 1)]
        what = f"pace {rate:g} step{'s' if rate != 1 else ''} a second" if rate else "full pace"
        if bench.alive and rate == now:
            bench.tell(f"{what} is the {'slowest' if by < 0 else 'fastest'}")
        else:
            bench.send("pace", what=what, rate=rate)
        self._main.refresh_now("status")

    def action_stop(self) -> None:
        bench = self._main.bench
        if bench.starting and bench.launch:
            bench.launch.cancel()
            bench.tell("the start is cancelled")
        else:
            bench.send("stop", what="stop: finishes the step and saves")
        self._main.refresh_now("status")

    @work
    async def action_rewind(self) -> None:
        bench = self._main.bench
        run = bench.run
        saved = run.last("checkpoint") if run else None
        if run is None or not run.alive or saved is None:
            bench.tell("there is no checkpoint to go back to", "warning")
        else:
            lost = run.step - saved["step"]
            words = f"Back to step {saved['step']:,}: {lost:,} steps and the edits since are given up."
            if await self._main.app.push_screen_wait(
                Choice("Back to the last checkpoint?", words, [("y", "go back"), ("n", "stay")])
            ) == "y":  # fmt: skip
                bench.send("rewind", what="back to the checkpoint")
        self._main.refresh_now()

    @work
    async def action_resume(self) -> None:
        """Go on with the open run; in the Runs pane with the one under its cursor, which is opened first."""
        bench = self._main.bench
        pane = self._main.house.pane(self._main.house.focused)
        if isinstance(pane, Runs) and not await pane.open_to_resume():
            return
        if bench.run and bench.waits:
            bench.tell(trouble(bench.run), "warning")
        elif bench.run and bench.run.state == "paused":
            bench.send("unpause", what="go on", quiet=True)
        else:
            bench.resume(bench.resumed_with)
        self._main.refresh_now("status", "launch")

    # ------------------------------------------------------------------------------- knobs

    @work
    async def action_apply(self) -> None:
        """Send what is staged. Where some of it needs a new run, nothing is sent before that is answered."""
        bench = self._main.bench
        dead = bench.needs_new_run
        if not dead:
            bench.apply()
            self._main.refresh_now()
            return
        live = [key for key in bench.staged if key not in dead]
        options = [("n", "stop this run (it saves) and start a new one with everything that is staged")]
        options += [("l", f"apply only what a running run takes: {', '.join(live)}")] if live else []
        options += [("d", f"forget {', '.join(dead)}"), ("k", "keep it staged")]
        words = f"{', '.join(dead)}: a running run cannot take this."
        answer = await self._main.app.push_screen_wait(Choice("This needs a new run", words, options))
        if answer == "n":
            bench.start_anew()
        elif answer == "l":
            bench.apply()
        elif answer == "d":
            bench.discard(dead)
        self._main.refresh_now()

    def action_undo(self) -> None:
        self._main.bench.undo()
        self._main.refresh_now()

    def action_redo(self) -> None:
        self._main.bench.redo()
        self._main.refresh_now()

    def action_scale_lr(self, factor: float) -> None:
        bench = self._main.bench
        bench.change(lr_changes(bench.proposed, float(f"{bench.proposed.optimizer.lr * factor:.12g}")))
        self._main.refresh_now()

    # ------------------------------------------------------------------------------- rows

    def action_rows(self, by: int) -> None:
        bench = self._main.bench
        bench.step = max(0, shown_step(bench) + by)
        bench.starts = None
        self._main.refresh_now("rows")

    @work
    async def action_goto(self) -> None:
        bench = self._main.bench
        words = (
            "The rows of which step? A record's number, counted from 0; `end` for the last.\n"
            "Or row starts of your own: @0,2,10,2"
        )
        answer = await self._main.app.push_screen_wait(
            Line("Go to", words, str(shown_step(bench)), check=self._wrong_step)
        )
        if answer:
            self._go_to(answer)
            self._main.house.raise_quietly(BATCH)
            self._main.refresh_now("rows")

    def _wrong_step(self, text: str) -> str:
        text = text.strip().replace(",", "") if not text.strip().startswith("@") else text.strip()
        if text == "end" or text.isdecimal():
            return ""
        if text.startswith("@") and all(part.strip().isdecimal() for part in text[1:].split(",")):
            corpus = self._main.bench.text.corpus
            last = corpus.splits["train"].n - self._main.bench.now.batch.T - 1 if corpus else 0
            over = [part for part in text[1:].split(",") if int(part) > last]
            return f"starts go from 0 to {last:,}: {over[0].strip()} leaves no room for T + 1 tokens" if over else ""
        return "expected a step such as 120, `end`, or starts such as @0,2,10,2"

    def _go_to(self, text: str) -> None:
        bench, text = self._main.bench, text.strip()
        if text.startswith("@"):
            bench.starts = tuple(int(part) for part in text[1:].split(","))
        else:
            bench.starts = None
            last = max(0, len(bench.run.curves) - 1) if bench.run else 0
            bench.step = last if text == "end" else int(text.replace(",", ""))

    # ------------------------------------------------------------------------------- presets and texts

    @work
    async def action_corpus(self) -> None:
        from workbench.screen.bench import fitting
        from workbench.screen.dialogs.corpus import OwnText

        bench = self._main.bench
        answer = await self._main.app.push_screen_wait(OwnText(bench.proposed))
        if answer:
            changes = fitting.own_text(bench.proposed, answer)
            fitted = fitting.told(bench.proposed, changes)
            if bench.change(changes) and fitted:
                bench.tell(fitted, "warning")
            self._main.refresh_now("rows", "text", "knobs", "status")

    @work
    async def action_presets(self) -> None:
        from workbench.screen.dialogs.presets import open_preset

        await open_preset(self._main)

    @work
    async def action_save(self) -> None:
        from workbench.screen.dialogs.presets import save_preset

        await save_preset(self._main)

    def action_copy(self) -> None:
        """The exact command of what is on the screen, copied (OSC 52) and shown."""
        from workbench.screen.bench.command import NoCommand, command_of, meaning
        from workbench.screen.dialogs.copied import Copied

        bench = self._main.bench
        try:
            line = shlex.join(command_of(bench))
        except NoCommand as error:
            bench.tell(str(error), "error")
            self._main.refresh_now("status")
            return
        self._main.app.copy_to_clipboard(line)
        self._main.app.push_screen(Copied(meaning(bench), line))

    # ------------------------------------------------------------------------------- help and leaving

    def action_help(self) -> None:
        from workbench.screen.dialogs.help import help_page

        self._main.app.push_screen(help_page(self._main))

    @work
    async def action_leave_screen(self) -> None:
        """Leaving while a run is alive asks: leave it running, stop and save, or stay."""
        main, bench = self._main, self._main.bench
        if bench.read_only or not (bench.alive or bench.starting):
            main.app.exit(0)
            return
        name = bench.run.name if bench.run else "the run that is being started"
        options = [
            ("l", "leave it running; `workbench attach` comes back to it"),
            ("s", "stop it: it finishes its step and saves; then leave"),
            ("n", "stay"),
        ]
        paused = bench.run is not None and bench.run.state == "paused"
        doing = "starting" if bench.starting else "paused: it waits" if paused else "training"
        answer = await main.app.push_screen_wait(Choice("Leave?", f"{name} is {doing}.", options))
        if answer == "s":
            if bench.starting and bench.launch:
                bench.launch.cancel()
            else:
                bench.send("stop", quiet=True)
        if answer in ("l", "s"):
            main.app.exit(0)
