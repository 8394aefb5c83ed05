"""Figures in words, as tables and sentences have them."""

import math
from typing import Any

Table = dict[str, Any]
"""`title`, `columns` and `rows`."""


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
