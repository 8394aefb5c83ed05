"""Trained on the last target alone, beside all of them: losses at equal steps, steps to an equal loss."""

import itertools
import math

from workbench.lab.trial import Told


def tell(r: Told) -> Told:
    """The last-position trial's result as a check's object."""
    every, last = r["curves"]["all"], r["curves"]["last"]
    shown = _shown([int(point[0]) for point in every])
    tables, times = [], {}
    for column, title in ((1, "Validation loss of all targets"), (2, "Validation loss of the rows' last targets")):
        rows = []
        for a, b in zip(every, last, strict=True):
            there = _reached(every, column, b[column])
            if there:
                times[column, int(b[0])] = b[0] / there
            if int(a[0]) in shown:
                ratio = f"{b[0] / there:.1f}" if there else "–"
                rows.append(
                    [int(a[0]), f"{a[column]:.3f}", f"{b[column]:.3f}", f"{there:,.0f}" if there else "–", ratio]
                )
        tables.append({
            "title": f"{title}, in nats",
            "columns": ["step", "trained on all", "on the last", "all was there at step", "times"],
            "rows": rows,
        })  # fmt: skip
    N = r["steps"]
    figures: dict[str, float] = {
        "steps": N, "T": r["T"], "loss_all": every[-1][1], "loss_last": last[-1][1],
        "last_target_all": every[-1][2], "last_target_last": last[-1][2],
    }  # fmt: skip
    for column, name in ((1, "times"), (2, "times_last_target")):
        later = [ratio for (c, step), ratio in times.items() if c == column and step * 5 >= N]
        if (column, N) in times:
            figures[f"{name}_at_end"] = times[column, N]
        if later:
            figures |= {f"{name}_low": min(later), f"{name}_high": max(later)}
    return {
        "title": "Trained on the last target of each row, beside all of them",
        "tables": tables,
        "sentences": _sentences(r, figures),
        "holds": True,
        "figures": figures,
    }


def _sentences(r: Told, figures: dict[str, float]) -> list[str]:
    B, T, N = r["B"] * r["accum"], r["T"], r["steps"]
    own = "the preset's own" if r["own"] else "cut down from the preset's, to take a minute"
    told = [
        f"Both runs have the same weights at step 0 and read the same {B:,} rows of T = {T} a step (seed {r['seed']}); "
        f"the model is {own}: {r['model']}. One is trained on {B * T:,} targets a step, the other on {B:,}.",
        f"After {N:,} steps the loss of all validation targets is {figures['loss_all']:.3f} and "
        f"{figures['loss_last']:.3f}; of the rows' last targets alone {figures['last_target_all']:.3f} and "
        f"{figures['last_target_last']:.3f}.",
    ]
    for name, what in (("times", "all targets"), ("times_last_target", "the last targets")):
        if f"{name}_at_end" in figures:
            told.append(
                f"For the same loss of {what}, training on the last alone took "
                f"{figures[f'{name}_at_end']:.1f} times as many steps at the end, and {figures[f'{name}_low']:.1f} to "
                f"{figures[f'{name}_high']:.1f} times from step {math.ceil(N / 5):,} on; T is {T}."
            )
    return told


def _shown(steps: list[int]) -> set[int]:
    """Some ten of the evaluations: the first, the last, and what is nearest to even tenths."""
    return {min(steps, key=lambda step: abs(step - steps[-1] * i / 10)) for i in range(11)}


def _reached(curve: list[list[float]], column: int, loss: float) -> float | None:
    """The step at which a curve first came down to `loss`, between its points along a line; None: never, or at once."""
    for before, after in itertools.pairwise(curve):
        if after[column] <= loss:
            if before[column] <= loss:
                return None
            share = (before[column] - loss) / (before[column] - after[column])
            return before[0] + share * (after[0] - before[0])
    return None
