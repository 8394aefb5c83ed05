"""Who tells a run, in the worker's own process: one JSON object a line, or text for a person or a log file."""

import sys
from pathlib import Path
from typing import Any

from workbench.data.visible import visible
from workbench.headless.lines import Lines
from workbench.headless.plot import loss_plot
from workbench.plan import arithmetic
from workbench.preset import Preset
from workbench.runs.events import Event, event
from workbench.runs.files import dump
from workbench.runs.records import DTYPE, as_object

_FIELDS = tuple(DTYPE.names or ())
_LINES_A_RUN = 20
"""How many step lines a log gets beside its evals."""


class JsonNarrator:
    """Every record and every event, in the order in which they happen, and nothing else."""

    def __init__(self, *, windows: bool) -> None:
        self._out = Lines(sys.stdout)
        self._out.live = False
        self._windows = windows

    def record(self, record: tuple[float, ...]) -> None:
        values = as_object(dict(zip(_FIELDS, record, strict=True)), windows=self._windows)
        self._out.write(dump(event("step", values.pop("time"), **values)))

    def event(self, event: Event) -> None:
        self._out.write(dump(event))

    def phase(self, phase: str) -> None:
        """Phases are the status file's; `--json` tells what happened."""

    def flush(self) -> None:
        self._out.flush()

    def close(self) -> None:
        self._out.close()


class TextNarrator:
    """One progress line on a terminal and a plot at the end; plain lines into a pipe."""

    def __init__(self, preset: Preset) -> None:
        self._out = Lines(sys.stdout)
        self._preset = preset
        self._steps = preset.schedule.steps
        self._run = Path()
        self._last: dict[str, Any] = {}
        self._evaluated: int | None = None
        self._seen = 0
        self._rate = 0.0
        """Seconds a step, lately."""
        self._phase = ""

    def record(self, record: tuple[float, ...]) -> None:
        values = dict(zip(_FIELDS, record, strict=True))
        self._seen += 1
        weight = max(0.02, 1 / max(1, self._seen - 1))  # the first step is slower than any other: it does not count
        self._rate += weight * (values["seconds"] - self._rate)
        self._last = values
        if not self._out.live and values["step"] % max(1, self._steps // _LINES_A_RUN) == 0:
            self._out.write(self._told(values))

    def event(self, event: Event) -> None:
        tell = getattr(self, f"_on_{event['type'].replace('-', '_')}", None)
        if tell:
            tell(event)

    def phase(self, phase: str) -> None:
        self._phase = phase

    def flush(self) -> None:
        last = self._last  # this is the heartbeat's thread
        if self._out.live and last:
            left = (self._steps - last["step"] - 1) * self._rate
            doing = "" if self._phase in ("training", "") else f"  {self._phase} …"
            self._out.status(f"{self._told(last)}  {duration(left)} left{doing}")
        self._out.flush()

    def close(self) -> None:
        self._out.close()

    def _told(self, v: dict[str, Any]) -> str:
        per_step = arithmetic.tokens_per_step(
            B=v["B"], T=v["T"], accum=v["accum"], world=v["world"], layout=self._preset.data.layout
        )
        speed = per_step / self._rate if self._rate else 0.0
        unit = "examples" if self._preset.data.layout == "windows" else "tokens"
        return (
            f"step {v['step']:>{len(f'{self._steps:,}')},}/{self._steps:,}  loss {v['loss']:.4f}  "
            f"lr {v['lr']:.2e}  {speed:,.0f} {unit}/s"
        )

    def _on_start(self, e: Event) -> None:
        p = self._preset
        self._run = Path(e["run"])
        val = f" to train on, {e['val_tokens']:,} to validate" if e["val_tokens"] else ""
        self._out.write(f"{p.name}: {p.model.kind}, {e['params']:,} parameters, {e['device']} {e['precision']}")
        self._out.write(f"{e['train_tokens']:,} tokens{val}, vocabulary {e['vocab']:,}")
        unit = arithmetic.unit(p.data.tokenizer, p.data.layout)
        train = e["train_tokens"]
        self._out.write(arithmetic.sentence(per_step=e["tokens_per_step"], train=train, steps=self._steps, unit=unit))
        self._out.write(f"run: {visible(str(self._run))}")

    def _on_resume(self, e: Event) -> None:
        self._steps = e["steps"]
        self._run = Path(e["run"])
        self._out.write(f"attempt {e['attempt']}: from step {e['step']:,}, {e['checkpoint'] or 'the beginning'}")
        for verb, edits in (("again", e["edits_again"]), ("dropped", e["edits_dropped"])):
            for edit in edits:
                self._out.write(f"  edit {verb} at step {edit['step']:,}: {_changes(edit['changes'])}")

    def _on_eval(self, e: Event) -> None:
        self._evaluated = e["step"]
        losses = [f"{n} {e[k]:.4f}" for n, k in (("train", "train_loss"), ("val", "val_loss")) if e[k] is not None]
        perplexity = "" if e["perplexity"] is None else f"  perplexity {e['perplexity']:.2f}"
        reached = f"  target {e['target_reached']} reached" if "target_reached" in e else ""
        self._out.write(f"eval at step {e['step']:,}: {'  '.join(losses)}{perplexity}{reached}")

    def _on_sample(self, e: Event) -> None:
        self._out.write(f"sample at step {e['step']:,}:")
        for line in visible(e["prompt"] + e["text"]).strip("\n").split("\n"):
            self._out.write(f"  | {line}")

    def _on_edit(self, e: Event) -> None:
        told = ", ".join(f"{key} {old} → {new}" for key, (old, new) in e["changes"].items())
        self._steps = e["changes"].get("schedule.steps", [0, self._steps])[1]
        self._out.write(f"edit at step {e['step']:,}: {visible(told)}")

    def _on_warning(self, e: Event) -> None:
        self._out.write(f"warning: {visible(e['message'])}")

    def _on_end(self, e: Event) -> None:
        if self._out.live:
            self._out.status("")
            self._last = {}
            for line in loss_plot(self._run):
                self._out.write(line)
        then = "" if self._evaluated in (e["step"], None) else f" (at step {self._evaluated:,})"
        val = "" if e["val_loss"] is None else f", validation loss {e['val_loss']:.4f}{then}"
        reason = f": {visible(e['reason'])}" if e["reason"] else ""
        steps = f"{e['step']:,} step{'' if e['step'] == 1 else 's'}"
        self._out.write(f"{e['state']} after {steps} and {duration(e['seconds'])} of training{val}{reason}")


def _changes(changes: dict[str, Any]) -> str:
    return visible(", ".join(f"{key} = {value}" for key, value in changes.items()))


def duration(seconds: float) -> str:
    """4.2 s, 1:04, 2:03:04."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
