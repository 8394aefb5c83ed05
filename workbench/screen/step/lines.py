"""How one step is told: a box per micro-batch, what they add up to, the update, and the loop with its values."""

import math

from workbench.screen.frame.lined import Run
from workbench.screen.step.loop_lines import LoopLines, loop_lines, window
from workbench.screen.step.one_step import OneStep

BOX = 9
"""Columns of a box: eight of them stand beside each other in 80."""
ADDENDS = 3
"""Losses up to which the sum is written out."""


def header(it: OneStep, state: str, width: int) -> list[Run]:
    """Which step, how it is split, and where it stands."""
    b = it.preset.batch
    split = f"{it.accum} micro-batch{'es' if it.accum > 1 else ''} of [{b.B}, {b.T}]"
    line: list[Run] = [("step ", "dim"), (f"{it.step:,}", "value"), (f"  {split}", "")]
    if state and sum(len(text) for text, _ in line) + len(state) + 2 <= width:
        line += [("  ", ""), (state, "warn" if it.under_way else "dim")]
    return line


def boxes(it: OneStep, first: int, count: int, cursor: int | None, *, tall: bool) -> list[list[Run]]:
    """Micro-batches first … first+count−1 beside each other: four lines, or two where there is less room."""
    lines: list[list[Run]] = [[] for _ in range(4 if tall else 2)]
    for n in range(first, min(first + count, it.accum)):
        done, waits = n < it.done, it.under_way and n == it.done
        mark = "✓" if done else "▸" if waits else " "
        line_ink = "mark" if n == cursor or waits else "train" if done else "dim"
        ink = "select" if done else "dim"
        loss = _figure(it.losses[n], 6) if done else "…" if waits else "·"
        norm = _figure(it.norms[n], 5) if done else ""
        if tall:
            title = f" {n + 1}{mark}".rstrip() + " "
            lines[0].append((f"╭{title.ljust(BOX - 2, '─')}╮"[:BOX], line_ink))
            for at, text in ((1, loss), (2, f"g {norm}" if norm else "")):
                lines[at] += [("│", line_ink), (text.rjust(BOX - 2), ink), ("│", line_ink)]
            lines[3].append((f"╰{'─' * (BOX - 2)}╯", line_ink))
        else:
            lines[0] += [(mark, line_ink), (loss.rjust(BOX - 2), ink), (" ", "")]
            lines[1] += [(" ", ""), ((f"g {norm}" if norm else f"{n + 1}").rjust(BOX - 2), ink), (" ", "")]
    return lines


def totals(it: OneStep) -> list[list[Run]]:
    """What the micro-batches add up to: their losses as a mean, their gradients undivided and divided."""
    if not it.done or it.accum == 1:
        return []
    of = "" if it.done == it.accum else f" after {it.done} of {it.accum}"
    written = " + ".join(_figure(loss, 6) for loss in it.losses) if 1 < it.done <= ADDENDS else ""
    counted = f"{written} = {it.sum:.4f}" if written else f"sum {it.sum:.4f}"
    if None in it.losses:
        counted = "sum –"
    losses: list[Run] = [
        ("losses    ", "dim"), (f"{counted} → / {it.done} = ", ""), (_figure(it.mean, 6), "value"),
        (of or " = the step's loss", "dim"),
    ]  # fmt: skip
    norm = it.norms[-1]
    gradient: list[Run] = [
        ("gradients ", "dim"), (f"added up {_figure(norm and norm * it.accum, 6)} → / {it.accum} = ", ""),
        (_figure(norm, 6), "value"), (of, "dim"),
    ]  # fmt: skip
    return [losses, gradient]


def update(it: OneStep, width: int) -> list[list[Run]]:
    """From the gradient to the weights: its norm, the clip coefficient, lr, and how far the weights moved."""
    clip = it.preset.optimizer.clip
    parts: list[list[Run]] = []
    if it.loss is not None and not it.done:
        parts.append([("loss ", "dim"), (_figure(it.loss, 6), "value")])
    if it.grad_norm is not None:
        parts.append([("‖g‖ ", "dim"), (_figure(it.grad_norm, 6), "value")])
    rule = f"clip min(1, {clip:g}/‖g‖) " if clip else "clip off "
    if it.clip_coefficient is not None:
        parts.append([(rule, "dim"), (f"{it.clip_coefficient:.4f}" if clip else "", "value")])
    else:
        parts.append([(rule.rstrip(), "dim")])
    parts.append([("lr ", "dim"), (_small(it.lr), "value")])
    parts.append([("‖Δw‖/‖w‖ ", "dim"), (_small(it.update_ratio), "value")])
    lines: list[list[Run]] = [[]]
    used = 0
    for part in parts:
        need = sum(len(text) for text, _ in part) + 3
        if used and used + need > width:
            lines.append([])
            used = 0
        lines[-1] += [(" → " if used else "   " if len(lines) > 1 else "", "dim"), *part]
        used += need
    return lines


def code(it: OneStep, width: int, height: int, scrolled: int | None = None) -> list[list[Run]]:
    """The loop's own lines around the one that it stands at, with what the step measured there."""
    loop = loop_lines()
    lit = loop.at.get(it.stage, -1) if it.stage else -1
    centre = scrolled if scrolled is not None else lit if lit >= 0 else loop.at.get("backward", 0)
    begin, end = window(len(loop.lines), centre, height)
    told = _values(it, loop)
    lines = []
    for n in range(begin, end):
        value = told.get(n, "")
        room = width - 2 - (len(value) + 2 if value else 0)
        text, comment = _parts(loop.lines[n])
        if len(text) > room:
            text, comment = text[: room - 1] + "…", ""
        elif len(text) + len(comment) > room:
            comment = comment[: max(0, room - len(text) - 1)] + "…" if room - len(text) > 6 else ""
        here = n == lit
        line: list[Run] = [("▸ " if here else "  ", "mark"), (text, "past" if here else ""), (comment, "dim")]
        if value:
            line += [(" " * (room - len(text) - len(comment) + 2), ""), (value, "value")]
        lines.append(line)
    return lines


def _values(it: OneStep, loop: LoopLines) -> dict[int, str]:
    """What a line has made in this step, by line."""
    told: dict[str, str] = {}
    if it.done:
        told["backward"] = f"g {_figure(it.norms[-1], 5)}"
        told["loss"] = f"{_figure(it.losses[-1], 6)} / {it.accum}" if it.accum > 1 else _figure(it.losses[-1], 6)
    if it.grad_norm is not None:
        told["norm"] = f"‖g‖ {_figure(it.grad_norm, 6)}"
    if it.clip_coefficient is not None and it.preset.optimizer.clip:
        told["clip"] = f"× {it.clip_coefficient:.4f}" if it.clip_coefficient < 1 else "not clipped"
    if it.lr is not None:
        told["lr"] = f"lr {_small(it.lr)}"
    if it.update_ratio is not None:
        told["update"] = f"‖Δw‖/‖w‖ {_small(it.update_ratio)}"
    return {loop.at[stage]: value for stage, value in told.items() if stage in loop.at}


def _parts(line: str) -> tuple[str, str]:
    """A line of code, and the comment at its end."""
    text, mark, comment = line.partition("  # ")
    return text, mark + comment


def micro_batch(it: OneStep, n: int) -> str:
    """One of them in words."""
    B = it.preset.batch.B
    rows = f" rows {it.first + n * B:,}–{it.first + (n + 1) * B - 1:,}" if it.first is not None else ""
    if n >= it.done:
        return f"micro-batch {n + 1}:{rows} to come" if rows else f"micro-batch {n + 1}"
    norm = it.norms[n]
    undivided = f", undivided {norm * it.accum:.4g}" if norm is not None and it.accum > 1 else ""
    return f"micro-batch {n + 1}:{rows} loss {_figure(it.losses[n], 6)}, g {_figure(norm, 5)}{undivided}"


def _figure(value: float | None, width: int) -> str:
    """A loss or a norm in at most `width` columns where that can be."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf"
    for digits in (4, 3, 2, 1, 0):
        if len(text := f"{value:.{digits}f}") <= width:
            return text
    return f"{value:.0e}".replace("e+0", "e").replace("e+", "e")


def _small(value: float | None) -> str:
    return "–" if value is None else f"{value:.2e}".replace("e-0", "e-")
