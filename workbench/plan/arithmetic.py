"""B·T·accum·world: how much of the text a step reads, and how many steps make an epoch."""

from workbench.preset import Preset


def tokens_per_step(*, B: int, T: int, accum: int, world: int = 1, layout: str = "stream") -> int:
    """The targets of one optimizer step, which are also its predictions.

    stream: each of the B·accum·world rows has T of them. windows: each row has one.
    """
    rows = B * accum * world
    return rows if layout == "windows" else rows * T


def tokens_per_step_of(preset: Preset, *, world: int = 1) -> int:
    """`tokens_per_step` of a preset's settings."""
    b = preset.batch
    return tokens_per_step(B=b.B, T=b.T, accum=b.accum, world=world, layout=preset.data.layout)


def smallest_B(preset: Preset) -> int:
    """The fewest rows of a micro-batch: BatchNorm has no variance of one."""
    return 2 if preset.model.kind == "mlp" and preset.model.norm == "batch" else 1


def steps_per_epoch(train: int, per_step: int) -> float:
    """Steps in which as many targets are read as the training split has.

    `train` counts tokens for the stream layout and examples for windows; `per_step` is `tokens_per_step`.
    """
    return train / per_step


def epochs(steps: int, train: int, per_step: int) -> float:
    """How many times `steps` steps read as many targets as the training split has."""
    return steps * per_step / train


def unit(tokenizer: str, layout: str = "stream") -> str:
    """What is counted, in words: "examples" for windows, else "characters", "bytes" or "tokens"."""
    if layout == "windows":
        return "examples"
    return {"char": "characters", "byte": "bytes"}.get(tokenizer, "tokens")


def sentence(*, per_step: int, train: int, steps: int, unit: str) -> str:
    """The arithmetic of a run in plain words.

    "each step reads 4,096 characters, 0.4% of the text; 5,000 steps = 20.4 epochs": the text is the training
    split, and `unit` is plural.
    """
    noun = unit.removesuffix("s") if per_step == 1 else unit
    runs = "1 step" if steps == 1 else f"{steps:,} steps"
    read = epochs(steps, train, per_step)
    times = rounded(read)
    return (
        f"each step reads {per_step:,} {noun}, {_percent(per_step / train)} of the text; "
        f"{runs} = {times} {'epoch' if times == '1' else 'epochs'}"
    )


def rounded(value: float) -> str:
    """A positive figure to three digits that count, never in powers of ten: 5.26, 20.4, 1,234."""
    if 0 < value < 0.001:
        return "less than 0.001"
    return f"{value:,.0f}" if value >= 999.5 else f"{value:.3g}"


def _percent(share: float) -> str:
    """One decimal is enough to see what share it is; under it, what it is less than."""
    percent = 100 * share
    if percent < 0.05:
        return "less than 0.1%"
    return f"{percent:,.0f}%" if percent >= 9.95 else f"{percent:.1f}%"
