"""What a run says when a loss or a gradient is no longer a number: which rows did it, and how to go on.

The update was not applied, so the weights are what they were: the step's micro-batches are run once more, and looked
at row by row.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.data.visible import visible
from workbench.preset import Preset
from workbench.training import advice, history
from workbench.training.models import Model
from workbench.training.step import Update, losses_of

Culprit = dict[str, Any]
"""record, micro, rows (row, offset, text), what ("loss" or "gradient"); parameter, where a gradient's is known."""
ROWS_NAMED = 4
"""Of a micro-batch's rows: a screen's worth, when all of them are to blame."""
_TEXT = 48
"""Characters of a row that are told."""
_LR_DIVISOR, _LR_MOST = 10, 0.1
"""What is offered: a tenth of the lr, and never more than no optimizer here trains with."""


def search(
    model: Model,
    forward: Callable[[Tensor], Tensor],
    micro_batches: Iterable[tuple[Tensor, Tensor]],
    offsets: Sequence[int],
    *,
    update: Update,
    record: int,
    targets: int,
    autocast: Callable[[], AbstractContextManager[object]],
    decode: Callable[[Any], str],
) -> Culprit | None:
    """The rows whose losses or gradients are not finite: None where a second pass does not show it.

    `micro_batches` are the step's, in its order, under its own dropout; `offsets` are those of all their rows.
    The model's gradients are used up. A pass that fails, as for want of memory, finds nothing.
    """
    loss = not math.isfinite(update.loss)
    try:
        found = (_by_loss if loss else _by_gradient)(model, forward, micro_batches, targets, autocast)
    except (RuntimeError, MemoryError):
        return None
    finally:
        model.zero_grad(set_to_none=True)
    if found is None:
        return None
    micro, x, rows, more = found
    begin = micro * len(x)
    named = [
        {"row": row, "offset": int(offsets[begin + row]), "text": _shortened(decode(x[row].tolist()))}
        for row in rows[:ROWS_NAMED]
    ]
    what = "loss" if loss else "gradient"
    return {"record": record, "micro": micro, "rows": named, "count": len(rows), "what": what, **more}


_Found = tuple[int, Tensor, list[int], dict[str, str]]
"""Micro-batch, its x, the rows to blame, what else is known."""


def _by_loss(
    model: Model, forward: Callable[[Tensor], Tensor], micro_batches: Iterable[tuple[Tensor, Tensor]], targets: int,
    autocast: Callable[[], AbstractContextManager[object]],
) -> _Found | None:  # fmt: skip
    largest: tuple[float, _Found] | None = None
    for micro, (x, y) in enumerate(micro_batches):
        with autocast():
            logits = forward(x)
        per_row = losses_of(logits, y).detach().reshape(len(x), -1)
        bad = _rows_where(~torch.isfinite(per_row).all(1))
        if bad:
            return micro, x, bad, {}
        # Every loss is finite, so it is their sum that is not: the largest is what brings it there.
        sums = per_row.double().sum(1)
        top = float(sums.max())
        if largest is None or top > largest[0]:
            largest = top, (micro, x, [int(sums.argmax())], {"how": "overflow"})
    return largest[1] if largest else None


def _by_gradient(
    model: Model, forward: Callable[[Tensor], Tensor], micro_batches: Iterable[tuple[Tensor, Tensor]], targets: int,
    autocast: Callable[[], AbstractContextManager[object]],
) -> _Found | None:  # fmt: skip
    """The first micro-batch after which a parameter's gradient is not finite; or, if only their norm overflows, the
    one that makes it largest."""
    names = {p: name for name, p in model.named_parameters()}
    largest: tuple[float, _Found] | None = None
    model.zero_grad(set_to_none=True)
    for micro, (x, y) in enumerate(micro_batches):
        with autocast():
            logits = forward(x)
        losses = losses_of(logits, y).reshape(len(x), -1)
        (losses.sum() / targets).backward(retain_graph=True)  # type: ignore[no-untyped-call]
        bad = next((p for p in names if p.grad is not None and not torch.isfinite(p.grad).all()), None)
        if bad is not None:
            rows = [
                row for row in range(len(x))
                if not torch.isfinite(_gradient(losses[row].sum() / targets, bad)).all()
            ]  # fmt: skip
            return micro, x, rows or list(range(len(x))), {"parameter": names[bad]}
        norm = math.sqrt(sum(float(p.grad.double().square().sum()) for p in names if p.grad is not None))
        if largest is None or norm > largest[0]:
            largest = norm, (micro, x, [int(losses.detach().sum(1).argmax())], {"how": "overflow"})
    return largest[1] if largest else None


def _gradient(loss: Tensor, parameter: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(loss, [parameter], retain_graph=True, allow_unused=True)
    return torch.zeros(()) if found is None else found


def _rows_where(bad: Tensor) -> list[int]:
    return [int(row) for row in bad.nonzero().flatten()]


def _shortened(text: str) -> str:
    """One line, fit for a terminal."""
    shown = visible(text.replace("\n", "↵").replace("\t", "→"), keep="")
    return shown if len(shown) <= _TEXT else shown[: _TEXT - 1] + "…"


def told(
    run: Path, update: Update, step: int, offsets: Sequence[int], culprit: Culprit | None
) -> tuple[str, dict[str, Any]]:
    """The reason, and the fields of the `end` event, for record `step`, whose rows start at `offsets`."""
    what, value = ("loss", update.loss) if not math.isfinite(update.loss) else ("gradient norm", update.grad_norm)
    rows = f"`workbench rows {advice.named(run)} --step {step}` shows all of its rows"
    if culprit:
        where = f"{_blamed(culprit)} ({rows})"
    else:
        first = ", ".join(map(str, offsets[:ROWS_NAMED]))
        where = f"A second look did not find the row; the first start at tokens {first} of the training split ({rows})"
    # Where a loss was found twice, a resume from these very weights would find it again.
    words, offer = back(run, before=step if culprit and culprit["what"] == "loss" else None)
    reason = f"the {what} of record {step} is {value}; the update was not applied. {where}. {words}"
    return reason, {"offer": offer, **({"culprit": culprit} if culprit else {})}


def _blamed(culprit: Culprit) -> str:
    rows, count = culprit["rows"], culprit["count"]
    named = ", ".join(f"row {r['row']} at token {r['offset']} of the training split “{r['text']}”" for r in rows)
    more = f" and {count - len(rows)} more" if count > len(rows) else ""
    parameter = f", first in {culprit['parameter']}" if "parameter" in culprit else ""
    how = "each is finite, what they add up to is not; the largest is " if culprit.get("how") == "overflow" else ""
    return f"It comes from micro-batch {culprit['micro']}{parameter}: {how}{named}{more}"


def unfit(run: Path, step: int, what: str) -> tuple[str, dict[str, Any]]:
    """The same for weights after the last update that no later record could have found out."""
    words, offer = back(run)
    return f"{what} after {step} updates; they are not saved. {words}", {"offer": offer}


def back(run: Path, before: int | None = None) -> tuple[str, dict[str, Any]]:
    """Where a resume would begin, with which lower lr: in words that end with the command, and as an offer."""
    beginning = history.from_run(run, state="diverged", extra={}, before=before)
    last = beginning.checkpoint
    where = f"The last good checkpoint is step {last.step}" if last else "There is no checkpoint, so it begins again"
    changes = lower(beginning.preset)
    why = f"a lower lr from {f'step {last.step}' if last else 'the beginning'} on"
    return f"{where}: try `{advice.resume(run, changes)}`", advice.offer(changes, why)


def lower(there: Preset) -> dict[str, float]:
    """A tenth of the peak that a resume would begin with, and a min_lr under it where it would stand above."""
    peak = float(f"{min(there.optimizer.lr / _LR_DIVISOR, _LR_MOST):.3g}")
    changes = {"optimizer.lr": peak}
    if there.schedule.kind in ("cosine", "wsd") and there.schedule.min_lr > peak:
        changes["schedule.min_lr"] = float(f"{peak / _LR_DIVISOR:.3g}")
    return changes
