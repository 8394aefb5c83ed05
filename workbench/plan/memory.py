"""What a training step holds in memory, item by item, in bytes.

An estimate from counting, still to be calibrated against measurement. It leaves out what the libraries
hold for themselves (the CUDA context alone takes some hundred MB), workspace of the matmuls, fragmentation,
and what compiling saves.
"""

from workbench.plan.parameters import Item, block_matrices, itemise, total
from workbench.preset import ModelTable, Preset

# Bytes of one number: weights, gradients and moments; and what flows between the layers.
_MASTER = {"fp32": 4, "bf16": 4, "fp64": 8}
_FLOWING = {"fp32": 4, "bf16": 2, "fp64": 8}


def estimate(preset: Preset, vocab: int, *, precision: str | None = None) -> list[Item]:
    """The bytes of one micro-batch's forward and backward pass and of the update, on one device.

    `precision` is the resolved one (fp32, bf16, fp64); left away, the preset's, with fp32 for auto, which is
    the larger answer. accum and world do not come into it: micro-batches follow one another and share one
    set of gradients. `parameters.total` sums the items. Raises ValueError for any other precision.
    """
    precision = precision or preset.device.precision
    precision = "fp32" if precision == "auto" else precision
    if precision not in _MASTER:
        raise ValueError(f"precision = {precision!r}: expected fp32, bf16 or fp64")
    master, flowing = _MASTER[precision], _FLOWING[precision]
    parameters = total(itemise(preset.model, vocab, preset.batch.T))
    rows = preset.batch.B if preset.data.layout == "windows" else preset.batch.B * preset.batch.T
    return [
        Item("weights", master * parameters),
        Item("gradients", master * parameters),
        Item(f"optimizer state ({preset.optimizer.kind})", master * _state(preset, parameters)),
        Item("activations kept for the backward pass", _activations(preset, master, flowing)),
        # The logits, and what the loss keeps of them: log-probabilities, then their gradient.
        Item("logits", rows * vocab * (flowing + 2 * master)),
    ]


def _state(preset: Preset, parameters: int) -> int:
    """How many numbers the optimizer keeps: two moments for adamw, one for momentum, Muon's per its part."""
    kind = preset.optimizer.kind
    if kind == "adamw":
        return 2 * parameters
    if kind == "sgd":
        return parameters if preset.optimizer.momentum else 0
    matrices = block_matrices(preset.model)
    return matrices + 2 * (parameters - matrices)


def _activations(preset: Preset, master: int, flowing: int) -> int:
    model, B, T = preset.model, preset.batch.B, preset.batch.T
    if model.kind == "gpt":
        return B * T * (model.layers * _block(model, master, flowing) + 2 * model.width * master)
    if model.kind == "mlp":
        # tanh's result, and with batch norm its input and output besides.
        kept = 3 if model.norm == "batch" else 1
        return B * (T * model.embedding + kept * model.hidden) * flowing
    return 0


def _block(model: ModelTable, master: int, flowing: int) -> int:
    """Bytes for one token in one transformer block, with attention that keeps no T×T matrix.

    Both norms' inputs (the residual stream, never rounded), then in the precision of the matmuls: both norms'
    outputs, queries, keys and values, attention's result before and after it is laid out again, and the
    feed-forward's 4·width before and after GELU. Dropout keeps one byte a number where it acts.
    """
    width = model.width
    kept = 2 * width * master + (2 + 3 + 2 + 8) * width * flowing
    return kept + (2 * width if model.dropout else 0)
