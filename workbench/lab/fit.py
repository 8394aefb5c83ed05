"""The largest B that fits and the fastest, by full steps in fresh processes: no size is named that was not run.

A ladder of sizes is run, smallest first; a line through the two largest says how far up it fits, and which size to
try for the largest. Tokens per step are held by moving accum. Nothing stays on the device: the processes are gone.
"""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench import preset as presets
from workbench.data.corpus import open_corpus
from workbench.data.rows import Rows
from workbench.data.scan import Progress
from workbench.data.visible import visible
from workbench.errors import UsageError
from workbench.lab import search
from workbench.lab.search import Tried, accum_for
from workbench.lab.sizes import written
from workbench.lab.trial import Crashed, Hear, OutOfMemory, Told, trial
from workbench.plan import arithmetic
from workbench.preset import Preset

STEPS = 3
"""Full steps of a size: memory stops growing with the second, which is the first to find the optimizer's state."""
MOST_B = 2**20
"""The preset's own bound."""
MORE = 64 * 2**20
"""Bytes that are given beyond a limit, at least, to see whether a crash was for want of them."""
AS_FAST = 0.97
"""Sizes that reach this share of the fastest are told as being as fast: two runs of one size differ by as much."""


@dataclass
class Wanted:
    """What to fit: a preset, under `limit` bytes (None: what is free), at `tokens` a step (None: the preset's).

    `max_B`: no larger size is run; None: none that is larger than the training split. `steps`: of every size.
    """

    preset: Preset
    limit: int | None = None
    tokens: int | None = None
    max_B: int | None = None
    steps: int = STEPS
    rows: int = field(init=False)
    """Rows of a step whose tokens are held: B·accum. Raises UsageError where `tokens` is no whole number of them."""

    def __post_init__(self) -> None:
        per_row = 1 if self.preset.data.layout == "windows" else self.preset.batch.T
        tokens = arithmetic.tokens_per_step_of(self.preset) if self.tokens is None else self.tokens
        if tokens < 1 or tokens % per_row:
            below = tokens // per_row * per_row
            near = f"{below:,} or {below + per_row:,}" if below else f"{per_row:,}"
            raise UsageError(f"--tokens {tokens}: expected whole rows of T = {per_row} tokens, such as {near}")
        self.rows = tokens // per_row
        if self.rows > MOST_B:
            raise UsageError(
                f"--tokens {tokens:,}: expected at most {MOST_B:,} rows a step, which is {MOST_B * per_row:,}"
            )


@dataclass
class _Sizes:
    """What there is to run, and what stops at the top."""

    least: int
    cap: int
    capped_by: str
    in_words: str


def fit(wanted: Wanted, hear: Hear, progress: Progress = lambda what, share: None) -> Told:
    """Run sizes until the largest that fits is known. `hear` gets every probe, and phases between them.

    Returns the `fit` object; its `largest` is None where not even the smallest size fits. Raises DataError and
    UsageError as a run would; WorkbenchError for a probe that failed otherwise than by running out of memory.
    """
    sizes = _sizes(wanted, progress)
    rungs = search.ladder(wanted.rows, sizes.cap, sizes.least)
    probes: list[Told] = []
    machine: Told = {"limit_bytes": wanted.limit}

    def told(what: Told) -> None:
        if what["type"] == "machine":
            machine.update(what)
        else:
            hear(what)

    while True:
        tried = _tried(probes)
        B = search.next_size(tried, ladder=rungs, cap=sizes.cap, limit=machine["limit_bytes"] or MOST_B**3)
        if B is None:
            break
        accum = accum_for(wanted.rows, B)
        size = f"B = {B:,}"
        hear({"type": "phase", "phase": size, "percent": None})
        line = search.line(tried)
        predicted = round(line.at(B)) if line else None
        found = _probe(wanted, B, accum, machine["limit_bytes"], within(size, told))
        probes.append(found | {"predicted_bytes": predicted})
        hear(probes[-1])
    return _result(wanted, sizes, sorted(probes, key=lambda p: p["B"]), machine)


def _sizes(wanted: Wanted, progress: Progress) -> _Sizes:
    p = wanted.preset
    train = open_corpus(p.data, progress=progress).splits["train"].n
    Rows.of(p, tokens=train)
    least = arithmetic.smallest_B(p)
    if wanted.max_B is not None:
        return _Sizes(least, max(least, min(wanted.max_B, MOST_B)), "max_B", "no larger size was asked for")
    windows = p.data.layout == "windows"
    epoch = train if windows else train // p.batch.T
    most = max(epoch, wanted.rows, least)
    if most >= MOST_B:
        return _Sizes(least, MOST_B, "preset", f"{MOST_B:,} is the most that a preset may ask for")
    what = "the training split" if epoch >= wanted.rows else "a whole step"
    return _Sizes(least, most, "data", f"it takes {what} at once, so no larger size was run (--max-B runs one)")


def _probe(wanted: Wanted, B: int, accum: int, limit: int | None, hear: Hear) -> Told:
    """One size, run. Micro-batches follow one another in the same memory, and from the second on they find the
    gradients there: two of them hold what any number would, so the others are not waited for."""
    edits = {"batch.B": B, "batch.accum": min(accum, 2)}
    per_step = _tokens(wanted.preset, B, accum)
    told: Told = {
        "type": "probe", "B": B, "T": wanted.preset.batch.T, "accum": accum, "tokens_per_step": per_step,
        "exact": B * accum == wanted.rows, "fits": False, "close": False, "memory_bytes": None, "predicted_bytes": None,
        "seconds_per_step": None, "seconds_micro": None, "seconds_update": None, "tokens_per_s": None, "reason": None,
    }  # fmt: skip
    try:
        asked = request(wanted.preset, edits, limit=limit, steps=wanted.steps, timed=True, margin=True)
        result = probe(asked, hear)
    except OutOfMemory as error:
        return told | {"reason": why(error)}
    seconds = accum * result["seconds_micro"] + result["seconds_update"]
    measured = {key: result[key] for key in ("memory_bytes", "seconds_micro", "seconds_update", "besides_bytes")}
    if result["close"]:
        measured |= {"close": True, "reason": f"too close: it ran in {written(result['memory_bytes'])}"}
    return (
        told | measured | {"fits": not result["close"], "seconds_per_step": seconds, "tokens_per_s": per_step / seconds}
    )


def probe(asked: Told, hear: Hear) -> Told:
    """The trial `probe`; a crash for want of memory is told as OutOfMemory, any other is Crashed.

    Some libraries do not survive a refusal. Whether it was one is found by giving half as much again, and no less
    than MORE: what crashes then too, has another cause.
    """
    try:
        return trial("probe", asked, hear)
    except Crashed:
        if not (limit := asked["limit_bytes"]):
            raise
        with contextlib.suppress(OutOfMemory):
            trial("probe", asked | {"limit_bytes": limit + max(limit // 2, MORE), "timed": False})
        raise OutOfMemory("out of memory: a library crashed when it was refused more") from None


def within(what: str, hear: Hear) -> Hear:
    """Hears a trial that is run for `what`: its phases are said with that, as in "B = 48: measuring memory"."""
    return lambda told: hear(told | {"phase": f"{what}: {told['phase']}"} if told["type"] == "phase" else told)


def why(error: OutOfMemory) -> str:
    """Why a size did not fit, without what only an allocator's author can read."""
    asked = re.search(r"tried to allocate (\d+) bytes|Tried to allocate ([\d.]+ [KMG]iB)", str(error))
    if not asked:
        told = visible(str(error), keep="")
        return told if "out of memory" in told else f"out of memory: {told}"
    return f"out of memory: {written(int(asked[1])) if asked[1] else asked[2]} more were refused"


def request(preset: Preset, edits: dict[str, Any], *, limit: int | None, steps: int, **more: Any) -> Told:
    """What `training/trials/probe.py` takes."""
    document = presets.to_document(presets.apply(preset, edits, source="the probe"))
    return {"preset": document, "limit_bytes": limit, "steps": steps, **more}


def _tokens(preset: Preset, B: int, accum: int) -> int:
    return arithmetic.tokens_per_step(B=B, T=preset.batch.T, accum=accum, layout=preset.data.layout)


def _tried(probes: Sequence[Told]) -> list[Tried]:
    return [Tried(p["B"], p["fits"], p["memory_bytes"], p["close"]) for p in probes]


def _result(wanted: Wanted, sizes: _Sizes, probes: list[Told], machine: Told) -> Told:
    fitted = [p for p in probes if p["fits"]]
    tried = _tried(probes)
    line = search.line(tried)
    largest = fitted[-1] if fitted else None
    fastest = max(fitted, key=lambda p: p["tokens_per_s"], default=None)
    holding = [p for p in fitted if p["exact"]]
    held = holding[-1] if holding else None
    choice = max(holding, key=lambda p: p["tokens_per_s"], default=fastest)
    following = search.high(tried)
    told: Told = {
        "type": "fit",
        "limit_bytes": machine["limit_bytes"],
        "limit_from": "given" if wanted.limit else "free",
        "device": machine.get("device"),
        "precision": machine.get("precision"),
        "besides_bytes": max((p["besides_bytes"] for p in fitted), default=None),
        "tokens_per_step": _tokens(wanted.preset, wanted.rows, 1),
        "steps": wanted.steps,
        "largest": _named(largest),
        "next": following,
        "largest_holding": _named(held),
        "fastest": _named(fastest),
        "choice": _named(choice),
        "bounded_by": ("memory" if any(not p["fits"] for p in probes) else sizes.capped_by) if largest else None,
        "line": {"intercept_bytes": round(line.intercept), "bytes_per_B": round(line.per_B)} if line else None,
        "probes": probes,
    }
    told["sentences"] = list(_sentences(told, sizes, wanted))
    told["figures"] = _figures(told)
    return told


def _named(probe: Told | None) -> Told | None:
    keys = ("B", "accum", "tokens_per_step", "exact", "tokens_per_s", "memory_bytes")
    return probe and {key: probe[key] for key in keys}


def _sentences(told: Told, sizes: _Sizes, wanted: Wanted) -> list[str]:
    unit = arithmetic.unit(wanted.preset.data.tokenizer, wanted.preset.data.layout)
    limit = written(told["limit_bytes"] or 0)
    if told["largest"] is None:
        probe = told["probes"][0]
        return [f"not even B = {probe['B']} fits in {limit} at T = {probe['T']}: {probe['reason']}"]
    largest, fastest, held = told["largest"], told["fastest"], told["largest_holding"]
    said = [
        f"B = {largest['B']:,} is the largest that fits in {limit}: {told['steps']} full steps and evaluations "
        f"held {written(largest['memory_bytes'])}. {_why_no_more(told, sizes)}"
    ]
    if held:
        said.append(
            f"{told['tokens_per_step']:,} {unit} a step: the largest B that divides them and fits is "
            f"{held['B']:,}, with accum = {held['accum']:,}."
        )
    slower = largest["tokens_per_s"] / fastest["tokens_per_s"]
    as_fast = [
        p["B"]
        for p in told["probes"]
        if p["fits"] and p["B"] != fastest["B"] and p["tokens_per_s"] >= AS_FAST * fastest["tokens_per_s"]
    ]
    said.append(
        f"B = {fastest['B']:,} is the fastest that was run, {fastest['tokens_per_s']:,.0f} {unit}/s"
        + (f"; B = {_listed(as_fast)} {_come(as_fast)} within 3% of it" if as_fast else "")
        + (f"; the largest reaches {slower:.0%} of it." if largest["B"] != fastest["B"] else ".")
    )
    if told["line"]:
        line = told["line"]
        said.append(f"Memory is about {written(line['intercept_bytes'])} + B · {written(line['bytes_per_B'])}.")
    if wanted.preset.device.compile == "on" and told["device"] == "cpu":
        said.append("What the compiler holds while it compiles counts here, as it does in a run on a CPU.")
    if told["besides_bytes"]:
        said.append(f"Python and torch hold {written(told['besides_bytes'])} besides, which the limit does not count.")
    return said


def _why_no_more(told: Told, sizes: _Sizes) -> str:
    if told["next"] is None and told["bounded_by"] == "memory":
        return f"What is larger came too close to the limit to count on; {sizes.in_words}."
    if told["next"] is None:
        return f"Memory is not what bounds it: {sizes.in_words}."
    close = [p["B"] for p in told["probes"] if p["close"] and told["largest"]["B"] < p["B"] < told["next"]]
    between = told["next"] - told["largest"]["B"] - 1
    if not between:
        return f"B = {told['next']:,} does not."
    if len(close) == between:
        return f"B = {told['next']:,} does not; B = {_listed(close)} ran, too close to the limit to count on."
    return f"B = {told['next']:,} does not; not all sizes between were run."


def _listed(numbers: Sequence[int]) -> str:
    *most, last = (f"{n:,}" for n in numbers)
    return f"{', '.join(most)} and {last}" if most else last


def _come(numbers: Sequence[int]) -> str:
    return "comes" if len(numbers) == 1 else "come"


def _figures(told: Told) -> dict[str, float]:
    found: dict[str, float | None] = {"limit_bytes": told["limit_bytes"], "next_B": told["next"]}
    for name in ("largest", "largest_holding", "fastest", "choice"):
        if told[name]:
            keys = ("B", "accum", "tokens_per_s", "memory_bytes")
            found |= {f"{name}_{key}": told[name][key] for key in keys}
    if told["line"]:
        found |= {f"line_{key}": value for key, value in told["line"].items()}
    found["probes"] = len(told["probes"])
    return {name: value for name, value in found.items() if value is not None}
