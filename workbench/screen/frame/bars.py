"""The two lines that are always there: what the run does, above; what the keys do, below."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from workbench.screen import keys
from workbench.screen.frame.lined import Lined, Run
from workbench.screen.glyphs import plain

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench

DOTS = {
    "running": ("●", "good"), "paused": ("‖", "warn"), "starting": ("◌", "warn"), "ready": ("○", "dim"),
    "done": ("✓", "good"), "stopped": ("■", "dim"), "interrupted": ("■", "warn"), "diverged": ("✗", "bad"),
    "out-of-memory": ("✗", "bad"), "failed": ("✗", "bad"), "lost": ("✗", "bad"), "unresponsive": ("?", "warn"),
}  # fmt: skip
"""The mark of each state, and its ink."""


class StatusLine(Lined):
    """run, state, step n/N, loss, lr, tokens/s, what it is doing: a dash where there is nothing yet."""

    def __init__(self, bench: "Bench") -> None:
        super().__init__(id="status")
        self._bench = bench

    def draw(self, width: int, height: int) -> Iterable[Sequence[Run]]:
        yield self._line(width)

    def _line(self, width: int) -> list[Run]:
        bench, run = self._bench, self._bench.run
        state = run.state if run else "starting" if bench.starting else "ready"
        dot, ink = DOTS.get(state, ("?", "warn"))
        name = run.name if run else bench.draft.name
        last = run.curves.last if run else None
        step, steps = (run.step, run.steps) if run else (0, bench.draft.schedule.steps)
        parts: list[tuple[str, str, str]] = [
            ("step", f"{step:,}/{steps:,}", "value"),
            ("loss", f"{last['loss']:.4f}" if last else "–", "value"),
            ("lr", f"{last['lr']:.2e}".replace("e-0", "e-") if last else "–", "value"),
            ("", f"{self._speed()} tok/s", ""),
        ]
        line: list[Run] = [(f"{dot} ", ink), (plain(name), "title"), ("  ", ""), (state, ink)]
        for label, value, style in parts:
            line += [("  ", ""), (f"{label} ", "dim") if label else ("", ""), (value, style)]
        for text, style in self._doing():
            line += [("  ", ""), (text, style)]
        return line

    def _speed(self) -> str:
        """Tokens a second over the last ten records."""
        run = self._bench.run
        if run is None or not (speed := run.curves.recent_speed()):
            return "–"
        return f"{speed / 1e6:.2f}M" if speed >= 1e6 else f"{speed / 1e3:.1f}k" if speed >= 1e3 else f"{speed:.0f}"

    def _doing(self) -> list[Run]:
        """The phase, the pace, what is staged: whatever a person would wonder about."""
        bench, run = self._bench, self._bench.run
        told: list[Run] = []
        if bench.starting and bench.launch:
            told.append((plain(bench.launch.phase), "warn"))
        elif run and run.alive and run.phase:
            told.append((plain(run.phase), "warn" if run.phase != "training" else "dim"))
        if run and run.alive and run.status and run.status.pace:
            told.append((f"pace {run.status.pace:g}/s", "warn"))
        if bench.staged:
            told.append((f"{len(bench.staged)} staged", "staged"))
        if bench.read_only:
            told.append(("read-only", "warn"))
        if run and run.error:
            told.append((plain(run.error), "bad"))
        return told


class Footer(Lined):
    """The keys that matter here; for a few seconds, what there is to say."""

    def __init__(self, bench: "Bench") -> None:
        super().__init__(id="footer")
        self._bench = bench
        self._pane = 0
        self._said = ""
        self._ink = ""

    def show(self, pane: int) -> None:
        self._pane = pane
        self.redraw()

    def say(self, text: str, ink: str = "value") -> None:
        """Show a sentence instead of the keys, until `say("")`."""
        self._said, self._ink = plain(text), ink
        self.redraw()

    def draw(self, width: int, height: int) -> Iterable[Sequence[Run]]:
        if self._said:
            yield [(" ", ""), (self._said, self._ink)]
            return
        line: list[Run] = [(" ", "")]
        used = 1
        for key in keys.footer(self._pane) if self._pane else []:
            if key.steers and self._bench.read_only:
                continue
            need = len(key.shown) + len(key.label) + 3
            if used + need > width:
                break
            line += [(key.shown, "key"), (f" {key.label}", "dim"), ("  ", "")]
            used += need
        yield line


__all__ = ["Footer", "StatusLine"]
