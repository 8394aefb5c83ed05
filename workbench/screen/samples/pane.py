"""The Samples pane: the same prompt over the steps, the newest on top; at the end of a run, how it ended."""

import shlex
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual import events

from workbench.runs.events import Event
from workbench.screen import keys
from workbench.screen.bench.command import command_of_run
from workbench.screen.frame.lined import Run
from workbench.screen.frame.paragraph import told
from workbench.screen.frame.slots import SAMPLES
from workbench.screen.glyphs import fit, plain, wrap
from workbench.screen.pane import Pane
from workbench.screen.samples.samples import Sample, ending, last_at, samples_of

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench

OLDER = 3
"""Lines of each sample below the first, where not everything fits: enough to see how it changed."""

Line = list[Run]


class Samples(Pane):
    number = SAMPLES
    concerns = frozenset({"events", "run", "status", "knobs", "launch"})
    BINDINGS = keys.bindings(SAMPLES)

    def __init__(self, bench: "Bench") -> None:
        super().__init__(bench)
        self._at: int | None = None
        """The index of the sample on top; None follows the newest."""
        self._events: tuple[Event, ...] = ()
        self._samples: list[Sample] = []
        self._command: tuple[object, str] = (None, "")
        self._cut = 0

    def redraw(self) -> None:
        if self.is_attached and self.display:
            self._prepare()
        super().redraw()

    def _prepare(self) -> None:
        """Sort what the run has said; only when it has said more."""
        run = self.bench.run
        told = run.events if run else ()
        if told is not self._events:
            self._events, self._samples = told, samples_of(told)
            if not self._samples or (self._at is not None and self._at >= len(self._samples) - 1):
                self._at = None
        if run and run.over and self._command[0] is not told:
            words = command_of_run(run.path, edited=bool(run.of("edit")), runs=self.bench.runs)
            self._command = told, shlex.join(words)

    # ------------------------------------------------------------------------------- drawing

    def draw(self, width: int, height: int) -> Iterable[Sequence[Run]]:
        run, samples = self.bench.run, self._samples
        lines: list[Line] = self._end_card(width, height) if run and run.over and self._at is None else []
        if not samples:
            return lines + told(self._nothing_yet(), width, "dim")
        at = len(samples) - 1 if self._at is None else min(self._at, len(samples) - 1)
        self._cut = 0
        everything = sum(1 + len(_body(sample, width)) for sample in samples[max(at - height, 0) : at + 1])
        older = height if everything <= height - len(lines) else OLDER
        for index in range(at, -1, -1):
            if len(lines) >= height:
                break
            lines.append(self._header(samples[index], index, index == at, width))
            body = _body(samples[index], width)
            if index == at:
                room = height - len(lines)
                self._cut = max(len(body) - room, 0)
                lines += _cut(body, room, width)
            else:
                lines += _cut(body, older, width)
        return lines

    def _nothing_yet(self) -> str:
        bench, run = self.bench, self.bench.run
        sample = (run.live if run and run.alive else bench.draft).sample
        how = f"{sample.tokens} tokens after the prompt {plain(sample.prompt)}, temperature {sample.temperature:g}"
        if not sample.every:
            return "No samples are asked for: sample.every is 0. n writes one while a run is alive."
        if run is None or bench.starting:
            return f"The first sample comes at step 0, then every {sample.every:,} steps: {how}. space starts."
        return f"The first sample is still to come: {how}." if run.alive else "This run wrote no samples."

    def _header(self, sample: Sample, index: int, top: bool, width: int) -> Line:
        line: Line = [(f"step {sample.step:,}", "title" if top else "axis")]
        if top:
            line.append((f" · sample {index + 1} of {len(self._samples)}", "dim"))
        if sample.val_loss is not None:
            line += [(" · val loss ", "dim"), (f"{sample.val_loss:.4f}", "val" if top else "eval")]
        used = sum(len(text) for text, _ in line)
        return [*line, (" " + "─" * max(width - used - 1, 0), "axis")]

    def _end_card(self, width: int, height: int) -> list[Line]:
        """How the run ended, in at most two thirds of the pane."""
        run = self.bench.run
        assert run is not None
        mark, ink = {"done": ("✓", "good"), "stopped": ("■", "good"), "interrupted": ("■", "warn")}.get(
            run.state, ("✗", "bad")
        )
        state: Line = [(f"{mark} {run.state}", ink)]
        lines, used = [state], len(state[0][0])
        for name, value in ending(run):
            need = 3 + len(name) + len(value)
            if used + need > width:
                lines.append([])
                used = -2
            lines[-1] += [("  " if used > 0 else "", ""), (f"{name} ", "dim"), (value, "value")]
            used += need
        if run.status and run.status.reason:
            lines += told(run.status.reason, width, ink)
        most = max(height * 2 // 3, 1)
        again = told(f"again: {self._command[1]}", width, "")
        if len(lines) + len(again) > most:
            again = [[(fit("again: y copies and shows the command", width), "")]]
        return [*lines[: max(most - 1, 1)], *again][:most]

    def caption(self) -> str:
        count = len(self._samples)
        if not count:
            return ""
        if self._at is not None:
            return f"sample {self._at + 1} of {count} · → newer"
        if self._cut:
            return f"{self._cut} more line{'s' if self._cut > 1 else ''}: 0"
        return f"{count} samples · ← older" if count > 1 else "1 sample"

    # ------------------------------------------------------------------------------- keys

    def show_step(self, step: int) -> None:
        """The charts' cursor stands there: the last sample at or before it."""
        self._prepare()
        if self._samples:
            self._scrub_to(last_at(self._samples, step))

    def action_scrub(self, by: int) -> None:
        if self._samples:
            newest = len(self._samples) - 1
            self._scrub_to((newest if self._at is None else self._at) + by)

    def _scrub_to(self, index: int) -> None:
        """The newest is followed, the others stay."""
        newest = len(self._samples) - 1
        self._at = None if index >= newest else max(index, 0)
        self.redraw()

    def leave(self) -> bool:
        """Back to the newest."""
        scrubbed, self._at = self._at is not None, None
        if scrubbed:
            self.redraw()
        return scrubbed

    def action_sample(self) -> None:
        self.bench.send("sample", what="a sample")
        self.main.refresh_now("status")

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_scrub(-1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_scrub(1)


@lru_cache(maxsize=256)
def _body(sample: Sample, width: int) -> list[Line]:
    """The prompt, marked, and what the model wrote after it."""
    prompt = plain(sample.prompt)
    left = len(prompt)
    lines: list[Line] = []
    for line in wrap(prompt + sample.text, width):
        marked, left = line[:left], max(left - len(line), 0)
        lines.append([(marked, "mark"), (line[len(marked) :], "")])
    return lines


def _cut(lines: list[Line], most: int, width: int) -> list[Line]:
    """At most so many lines; the last one says that there are more."""
    if len(lines) <= most:
        return lines
    if most <= 0:
        return []
    (marked, mark), (rest, ink) = lines[most - 1]
    room = width - cell_len(marked)
    more = f"{rest}…" if cell_len(rest) < room else fit(f"{rest}…", room)
    return [*lines[: most - 1], [(marked, mark), (more, ink)]]
