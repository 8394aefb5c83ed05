"""Figures in words, as tables and sentences have them; and two statistics."""

import math
from typing import Any

Told = dict[str, Any]
Table = dict[str, Any]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def quantile(ordered: list[float], share: float) -> float:
    """The quantile of sorted values, between two of them along a line."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def tiny(value: float) -> str:
    return f"{value:.1e}"


def share(value: float) -> str:
    return f"{100 * value:.3g}%" if value < 10 else f"{100 * value:,.0f}%"


def gap(value: float) -> str:
    return tiny(value) if value < 0.001 else f"{value:.3f}"


def figure(value: float) -> str:
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def count(value: float) -> str:
    if not math.isfinite(value):
        return "∞"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
