"""What a run had spent after so many tokens: exact where an edit of T has changed the price of a token."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.plan import flops
from workbench.preset import Preset
from workbench.runs.events import Event

Numbers = npt.NDArray[np.float64]


class Spent:
    """FLOPs as a function of tokens, piece by piece: each piece is (tokens at its beginning, FLOPs a token)."""

    def __init__(self, pieces: Iterable[tuple[float, float]]) -> None:
        self._tokens, self._price = (np.array(column, dtype=np.float64) for column in zip(*pieces, strict=True))
        self._flops = np.concatenate([[0.0], np.cumsum(np.diff(self._tokens) * self._price[:-1])])

    def of(self, tokens: npt.ArrayLike) -> Numbers:
        """The FLOPs after so many tokens."""
        given = np.asarray(tokens, dtype=np.float64)
        i = np.maximum(np.searchsorted(self._tokens, given, "right") - 1, 0)
        return np.asarray(self._flops[i] + (given - self._tokens[i]) * self._price[i], dtype=np.float64)

    @property
    def price(self) -> float:
        """FLOPs a token, as it is now."""
        return float(self._price[-1])


def spent(preset: Preset, events: Iterable[Event], tokens_at: Callable[[int], float]) -> Spent | None:
    """Of a run that began with `preset` (its context pinned); None before its worker has said its vocabulary, and for
    a model that multiplies nothing. `tokens_at` tells the tokens that were read before a step.
    """
    vocab: int | None = None
    pieces: list[tuple[float, float]] = []
    for event in events:
        if event.get("type") == "start":
            vocab = event["vocab"]
            pieces = [(0.0, _price(preset, preset.batch.T, vocab))]
        elif event.get("type") == "edit" and vocab is not None and "batch.T" in event["changes"]:
            T: Any = event["changes"]["batch.T"][1]
            pieces.append((float(tokens_at(event["step"])), _price(preset, T, vocab)))
    return Spent(pieces) if pieces and pieces[0][1] > 0 else None


def _price(preset: Preset, T: int, vocab: int) -> float:
    batch = preset.batch.model_copy(update={"T": T})
    return float(flops.per_token(preset.model_copy(update={"batch": batch}), vocab))
