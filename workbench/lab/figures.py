"""What a run measured, in numbers that have names. Records are read in pieces: ten million of them take no memory.

A figure that does not exist (no validation split, no records, a loss that is not finite) is left out of `figures`,
and None from the other functions. The test split is never among them.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from workbench.lab.flops import Numbers, spent
from workbench.preset import get
from workbench.runs import settings
from workbench.runs.events import Event, latest, read_events
from workbench.runs.records import CLIPPED, SPIKE, Records, StepReader

MOST = 500
"""Records at a run's end that its loss and its noise are told from, at most."""


def last_records(n: int) -> int:
    """K, the records that stand for the end of a run of n: the last tenth, at most 500."""
    return min(MOST, -(-n // 10))


def figures(run: Path) -> dict[str, float]:
    """Everything that a run has measured so far: see the names below. Losses are in nats, clipped is a share."""
    events, reader = read_events(run), StepReader(run)
    n = len(reader)
    found: dict[str, float | None] = {"steps": float(n)}
    if n:
        found |= _of_records(run, events, reader, n)
    start, evals = latest(events, "start"), _evals(events)
    if start:
        found |= {
            "params": start["params"], "vocab": start["vocab"], "ln_V": math.log(start["vocab"]),
            "tokens_per_step": start["tokens_per_step"], "steps_per_epoch": start["steps_per_epoch"],
            "train_tokens": start["train_tokens"],
            "epochs": (found.get("tokens") or 0) / start["train_tokens"],
        }  # fmt: skip
    if evals:
        train, val = evals[-1].get("train_loss"), evals[-1].get("val_loss")
        found |= {"train_loss": train, "val_loss": val, "val_step": evals[-1]["step"] if val is not None else None}
        if evals[0]["step"] == 0:
            found["val_loss_0"] = evals[0].get("val_loss")
        if train is not None and val is not None:
            found["gap"] = val - train
        judged = [(e["val_loss"], e["step"]) for e in evals if e.get("val_loss") is not None]
        if judged:
            found["best_val"], found["best_val_step"] = min(judged)
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}


def _of_records(run: Path, events: list[Event], reader: StepReader, n: int) -> dict[str, float | None]:
    first, last = reader.read(0, 1)[0], reader.read(n - 1, n)[0]
    tokens, seconds = float(last["tokens"]), float(last["time"])
    clip, clipped, coefficient, spikes, lr_max = _clip_at(run, events), 0, 0.0, 0, 0.0
    for records in reader.pieces(0, n):
        clipped += int(np.count_nonzero(records["flags"] & CLIPPED))
        spikes += int(np.count_nonzero(records["flags"] & SPIKE))
        coefficient += float(_coefficients(records, clip).sum())
        lr_max = max(lr_max, float(records["lr"].max()))
    price = spent(settings.started(run), events, _tokens_at(reader))
    return {
        "loss_0": float(first["loss"]), "loss": mean_loss(run, -last_records(n)), "noise": noise(run, -last_records(n)),
        "tokens": tokens, "seconds": seconds, "tokens_per_s": tokens / seconds if seconds > 0 else None,
        "lr": float(last["lr"]), "lr_max": lr_max, "clipped": clipped / n, "clip_coefficient": coefficient / n,
        "spikes": spikes,
        "flops": float(price.of(tokens)) if price else None, "flops_per_token": price.price if price else None,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------ of some of it


def mean_loss(run: Path, begin: int = 0, end: int | None = None) -> float | None:
    """The mean loss of records begin … end-1; as in a slice, a negative one counts from the end."""
    total, count = 0.0, 0
    for records in _slice(run, begin, end):
        total += float(records["loss"].sum())
        count += len(records)
    return _finite(total / count) if count else None


def noise(run: Path, begin: int = 0, end: int | None = None) -> float | None:
    """The standard deviation of these records' losses about the straight line through them; of three at least."""
    n, sums = 0, np.zeros(5)
    origin: float | None = None
    for records in _slice(run, begin, end):
        y = records["loss"].astype(np.float64)
        origin = float(y[0]) if origin is None else origin
        y, x = y - origin, np.arange(n, n + len(y), dtype=np.float64)
        sums += (x.sum(), y.sum(), (x * x).sum(), (x * y).sum(), (y * y).sum())
        n += len(y)
    if n < 3 or not np.isfinite(sums).all():
        return None
    X, Y, XX, XY, YY = sums.tolist()
    xx, xy, yy = XX - X * X / n, XY - X * Y / n, YY - Y * Y / n
    return math.sqrt(max(yy - xy * xy / xx, 0.0) / (n - 2))


def steps_to(run: Path, loss: float) -> int | None:
    """Updates done at the first eval whose validation loss is at or under `loss`."""
    found = (e for e in _evals(read_events(run)) if e.get("val_loss") is not None and e["val_loss"] <= loss)
    return next((int(e["step"]) for e in found), None)


# ------------------------------------------------------------------------------------------ along an axis


def pieces_along(run: Path, x: str) -> Iterator[tuple[Numbers, Numbers]]:
    """(x, loss) of all records, in pieces; x is steps, tokens, seconds or flops, each record's own included.

    Nothing where a run has no such x.
    """
    reader = StepReader(run)
    price = spent(settings.started(run), read_events(run), _tokens_at(reader)) if x == "flops" else None
    if x == "flops" and price is None:
        return
    for records in reader.pieces():
        if price is not None:
            along = price.of(records["tokens"])
        else:
            along = records[{"steps": "step", "tokens": "tokens", "seconds": "time"}[x]].astype(np.float64)
        yield along + (x == "steps"), records["loss"].astype(np.float64)


def steps_at(run: Path, x: str, value: float) -> int:
    """How many updates were done by x = value: as many as there are, where it lies beyond."""
    done = 0
    for along, _ in pieces_along(run, x):
        inside = int(np.searchsorted(along, value * (1 + 1e-9), "right"))
        done += inside
        if inside < len(along):
            break
    return done


# ------------------------------------------------------------------------------------------ reading


def _evals(events: list[Event]) -> list[Event]:
    return [e for e in events if e.get("type") == "eval"]


def _slice(run: Path, begin: int, end: int | None) -> Iterator[Records]:
    reader = StepReader(run)
    first, last, _ = slice(begin, end).indices(len(reader))
    return reader.pieces(first, last)


def _tokens_at(reader: StepReader) -> Callable[[int], float]:
    def tokens(step: int) -> float:
        records = reader.read(max(step - 1, 0), step)
        return float(records["tokens"][0]) if len(records) else 0.0

    return tokens


def _clip_at(run: Path, events: list[Event]) -> tuple[list[int], list[float]]:
    """From which steps on which clip held."""
    steps, clips = [0], [float(get(settings.started(run), "optimizer.clip"))]
    for event in events:
        if event.get("type") == "edit" and "optimizer.clip" in event["changes"]:
            steps.append(event["step"])
            clips.append(float(event["changes"]["optimizer.clip"][1]))
    return steps, clips


def _coefficients(records: Records, clip: tuple[list[int], list[float]]) -> Numbers:
    """min(1, clip/‖g‖) of each record: 1 where it was not clipped."""
    steps, clips = clip
    held = np.array(clips)[np.searchsorted(steps, records["step"].astype(np.int64), "right") - 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.minimum(held / records["grad_norm"], 1.0)
    return np.where((records["flags"] & CLIPPED != 0) & np.isfinite(scaled), scaled, 1.0)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
