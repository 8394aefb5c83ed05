"""A mini-batch's gradient beside the whole one: what was measured, and what theory says of it.

McCandlish et al. 2018 (arXiv:1812.06162): E‖g_B − G‖² = tr Σ / B, so with B_noise = tr Σ / |G|² the relative error is
√(B_noise / B), and of a cosine with independent noise one expects 1 / √(1 + B_noise / B).
"""

import math
from statistics import fmean

import numpy as np

from workbench.lab.checks.words import count, figure
from workbench.lab.trial import Told


def noise_scale(r: Told) -> tuple[float, float]:
    """tr Σ / |G|² in rows, by a gradient trial's whole gradient, and the rows' share of noise in that (1/M; 0: none).

    E‖g_B − G‖² = tr Σ / B. Where the whole is a sample of M rows, its own noise tr Σ / M is taken off.
    """
    sampled = 0.0 if r["all_rows"] else 1 / r["rows"]
    square = r["norm_squared"]
    per_level = [fmean([e * e for e in level["errors"]]) * square / (1 / level["B"] + sampled) for level in r["levels"]]
    trace = fmean(per_level)
    signal = square - trace * sampled
    return (trace / signal if signal > 0 else math.inf), sampled


def interval(told: Told) -> tuple[float, float | None]:
    """The noise scale from mini-batches alone: two standard errors of |G|² either way; None: no upper end."""
    low, high = told["G2"] + 2 * told["G2_error"], told["G2"] - 2 * told["G2_error"]
    return max(0.0, told["trace"]) / max(low, 1e-300), max(0.0, told["trace"]) / high if high > 0 else None


def tell(r: Told) -> Told:
    """The gradient trial's result as a check's object."""
    scale, sampled = noise_scale(r)
    figures: dict[str, float] = {}
    rows, ends = [], []
    for level in r["levels"]:
        B, cosines, errors = level["B"], level["cosines"], level["errors"]
        cosine, rms = fmean(cosines), math.sqrt(fmean([e * e for e in errors]))
        expected = 1 / math.sqrt((1 + scale / B) * (1 + scale * sampled))
        error = math.sqrt(scale / B + scale * sampled) / math.sqrt(1 + scale * sampled)
        low, high = interval(level["alone"])
        if high is not None:
            ends.append((high / low, low, high, B))
        few, most = np.quantile(cosines, (0.1, 0.9)).tolist()
        rows.append([
            f"{B:,}", f"{cosine:.3f}", f"{few:.2f} … {most:.2f}", f"{expected:.3f}",
            figure(rms), figure(error), f"> {count(low)}" if high is None else f"{count(low)} … {count(high)}",
        ])  # fmt: skip
        figures |= {
            f"cosine_{B}": cosine, f"cosine_{B}_p10": few, f"cosine_{B}_p90": most, f"cosine_{B}_theory": expected,
            f"error_{B}": rms, f"error_{B}_theory": error,
        }  # fmt: skip
    looks = [(look["step"], *interval(look)) for look in r["looks"]]
    figures |= {"after": r["after"], "rows": r["rows"], "loss": r["loss"], "noise_scale": scale}
    if ends:
        figures |= {"noise_scale_low": min(ends)[1], "noise_scale_high": min(ends)[2]}
    draws = [level["draws"] for level in r["levels"]]
    told = f"{max(draws)}" if min(draws) == max(draws) else f"{min(draws)} to {max(draws)}"
    return {
        "title": "The gradient of B rows beside that of the whole training split",
        "tables": [{
            "title": f"After {r['after']:,} steps: {told} mini-batches of each B; B_noise from those alone",
            "columns": ["B", "cosine", "10% … 90%", "theory", "error", "theory", "B_noise"],
            "rows": rows,
        }],
        "sentences": _sentences(r, scale, figures, ends, looks),
        "holds": True,
        "figures": figures,
    }  # fmt: skip


def _sentences(
    r: Told,
    scale: float,
    figures: dict[str, float],
    ends: list[tuple[float, float, float, int]],
    looks: list[tuple[int, float, float | None]],
) -> list[str]:
    B = r["levels"][-1]["B"]
    what = f"all {r['rows']:,} rows" if r["all_rows"] else f"{r['rows']:,} evenly spread rows"
    told = [
        f"The model ({r['model']}) has trained for {r['after']:,} steps; over {what} its loss is "
        f"{r['loss']:.3f}, and this gradient is the one that the others are compared with.",
        f"One row's gradient has a cosine of {figures['cosine_1']:.3f} with it, that of {B:,} rows "
        f"{figures[f'cosine_{B}']:.3f}. With B_noise = tr Σ/|G|² = {count(scale)} rows, measured against the whole, "
        "theory gives 1/√(1 + B_noise/B) for the cosine and √(B_noise/B) for the relative error (root mean square).",
    ]
    if not r["all_rows"]:
        told.append(f"The {r['rows']:,} rows have noise of their own, which theory's columns count in.")
    if ends:
        _, low, high, best = min(ends)
        told.append(
            f"Without the whole gradient, mini-batches of B = {best:,} alone put B_noise between {count(low)} and "
            f"{count(high)}; where its lower bound is all that they give, |G|² cannot be told from 0."
        )
    if looks:
        between = [low for _, low, _ in looks] + [high for _, _, high in looks if high is not None]
        told.append(
            f"Looked at {len(looks)} times more, between steps {looks[0][0]:,} and {looks[-1][0]:,}, it was between "
            f"{count(min(between))} and {count(max(between))}: one step's figure is an order of magnitude (McCandlish "
            "et al. 2018, table 1: up to 20 times off the batch size that pays)."
        )
    return told
