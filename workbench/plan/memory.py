"""What training holds in memory at its largest moment, item by item, in bytes; counted without torch.

Memory is not the sum of all that a step makes: most of it is given back before the rest is asked for. So the
estimate follows a step through its moments, counts what is held at each, and answers with the largest:

    the gradient of the loss              activations of all layers, and the logits four times over (a large
                                          vocabulary's twice)
    backward through the last layer       the same activations, and the gradients inside that layer
    backward through the last attention   (where it keeps T×T matrices) theirs, beside those of all other layers
    backward through the first layer      all gradients of the weights, hardly an activation
    the update                            all gradients, and what the optimizer needs on the way
    evaluation                            the last step's gradients, and 4,096 positions forward

A micro-batch lets go of its activations before the next begins. So accum does not multiply them; from the second
micro-batch on, the gradients are there while the activations are.

Counted after torch 2.13 on a CPU, and held against it on 2026-11-22: over 32 shapes of 45 to 960 MiB the worst error
is 2.7% (`tests/benchmarks/memory.py`). Left out are what Python and torch hold for themselves (on CUDA the context),
the copy that a checkpoint makes in the computer's memory, fragmentation, what compiling saves, and on a card the corpus
(a quarter of it at most), what replayed graphs keep, and the loss's larger parts. On CUDA nothing has been measured;
its dropout should keep less than a CPU's: no T×T matrix, and masks of a byte a number.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from workbench.plan.attention import rule
from workbench.plan.parameters import Item, block_matrices, itemise, total
from workbench.preset import Preset

# Bytes of one number: weights, gradients, moments and norms (m); what flows between the layers (f).
_MASTER = {"fp32": 4, "bf16": 4, "fp64": 8}
_FLOWING = {"fp32": 4, "bf16": 2, "fp64": 8}
_ROUNDED = 2
"""Bytes of a weight's copy in bf16."""
_IDS = 2 * 8
"""Bytes of a position of x and of y."""
EVALUATED = 4096
"""Positions that evaluation puts through the model at once: `training.evaluate.TOKENS_A_BATCH`."""
LARGE_VOCABULARY = 4096
"""From here on the loss takes a few rows of logits at a time (training/loss.py)."""
LOSS_CHUNK, LOSS_CHUNK_ON_A_CARD = 2**24, 2**28
"""Bytes of fp32 logits that it takes: on a CPU what stays in its caches, on a card what keeps it busy."""
_BUFFERS = 1024 * 1024
"""Half-used pages, tensors too small to list: measured, not counted."""
_COMPILED = 3 * 512 * 1024
"""What a CPU's library keeps for each shape of a bf16 matmul, its compiled kernel among it: measured."""
_MATMULS = {"gpt": 5, "mlp": 2, "bigram": 0}
"""Shapes of a model's matmuls: q, k, v; attention's result; up; down; the head."""


@dataclass(frozen=True)
class Moment:
    """One point of a step, and what is held there. Every moment of a preset has the same items, some of 0 bytes."""

    name: str
    items: list[Item]


def estimate(preset: Preset, vocab: int, *, precision: str | None = None, attention: str | None = None) -> list[Item]:
    """The items of the largest moment: what the preset needs at once, on one device.

    `precision` is the resolved one (fp32, bf16, fp64); left away, the preset's, with fp32 for auto, which is
    the larger answer. `attention` is the resolved one too; left away, a CPU's. `parameters.total` sums the items.
    Raises ValueError for any other precision.
    """
    return peak(preset, vocab, precision=precision, attention=attention).items


def peak(preset: Preset, vocab: int, *, precision: str | None = None, attention: str | None = None) -> Moment:
    """The largest of the moments."""
    found = moments(preset, vocab, precision=precision, attention=attention)
    return max(found, key=lambda moment: total(moment.items))


def moments(preset: Preset, vocab: int, *, precision: str | None = None, attention: str | None = None) -> list[Moment]:
    """All of them, in the order of a step; evaluation comes last."""
    precision = precision or preset.device.precision
    precision = "fp32" if precision == "auto" else precision
    if precision not in _MASTER:
        raise ValueError(f"precision = {precision!r}: expected fp32, bf16 or fp64")
    plain = (attention or rule(preset, precision=precision, device="cpu")) == "plain"
    kinds = {"gpt": _gpt, "mlp": _mlp, "bigram": _bigram}
    return list(kinds[preset.model.kind](_Training(preset, vocab, precision, plain=plain)))


class _Training:
    """Sizes that the three models share; x and y have `tokens` positions, `asked` of them have a target."""

    def __init__(self, preset: Preset, vocab: int, precision: str, *, plain: bool) -> None:
        self.plain = plain
        B, T, windows = preset.batch.B, preset.batch.T, preset.data.layout == "windows"
        self.preset, self.model, self.vocab, self.T = preset, preset.model, vocab, T
        self.m, self.f, self.bf16 = _MASTER[precision], _FLOWING[precision], precision == "bf16"
        self.parameters = total(itemise(preset.model, vocab, T))
        self.tokens, self.asked = B * T, B if windows else B * T
        # With windows each of the positions brings its T tokens along.
        self.eval_tokens = EVALUATED * T if windows else max(1, EVALUATED // T) * T
        self.eval_asked = EVALUATED if windows else self.eval_tokens
        self.by_parts = vocab >= LARGE_VOCABULARY
        self.from_before = self.parameters if preset.batch.accum > 1 else 0
        """Gradients of the micro-batches before this one, in numbers."""
        # Each matmul and both its gradients; what has evaluation's size is there in any case, as the library itself is.
        shapes = 3 * _MATMULS[preset.model.kind] if self.bf16 and self.tokens != self.eval_tokens else 0
        self.compiled = shapes * _COMPILED

    def moment(
        self,
        name: str,
        *,
        gradients: int,
        activations: dict[str, int],
        logits: int,
        workspace: int = 0,
        rounded: int = 0,
        tokens: int = 0,
    ) -> Moment:
        """`gradients` and `rounded` (weights that have a copy in bf16) are numbers, the others bytes."""
        kind = self.preset.optimizer.kind
        items = [
            Item("weights", self.m * self.parameters),
            Item("gradients", self.m * gradients),
            Item(f"optimizer state ({kind})", self.m * _state(self.preset, self.parameters)),
            *(Item(f"activations, {layer}", count) for layer, count in activations.items()),
            Item("logits and loss", logits),
            *([Item("copies of weights in bf16", _ROUNDED * rounded)] if self.bf16 else []),
            Item("x and y", _IDS * (tokens or self.tokens)),
            Item("workspace", workspace + _BUFFERS + self.compiled),
        ]
        return Moment(name, items)

    def loss(self, rows: int, f: int) -> int:
        """Bytes at the gradient of the loss, for `rows` rows of logits.

        The logits; of those that have a target their log-probabilities, and the gradients of both. Where only the
        last of a row has one, the gradient of the others is as large as they are, and 0. By parts there are the logits
        and of one part the log-probabilities, then the gradient in their place; of bf16 that part in fp32 besides.
        """
        logits, of_targets = rows * self.vocab * f, self.asked * self.vocab * self.m
        if self.by_parts:
            part, wide = self.part(self.asked), int(f < self.m)
            of_all = logits if rows > self.asked else 0
            gradients = self.asked * self.vocab * f + max(wide * part, of_all)
            return logits + max((1 + wide) * part, gradients) + self.asked * self.m
        return max(logits + 3 * of_targets, 2 * logits + of_targets) + self.asked * self.m

    def part(self, rows: int) -> int:
        """Bytes of the logits that the loss takes at a time, in fp32 (or fp64)."""
        return min(LOSS_CHUNK, rows * self.vocab * self.m)

    def eval_loss(self, rows: int, f: int) -> int:
        """The logits and their log-probabilities, in bf16 from an fp32 copy."""
        copies = 1 if f == self.m else 2
        wide = self.part(self.eval_asked) if self.by_parts else self.eval_asked * self.vocab * self.m
        return rows * self.vocab * f + copies * wide

    def update(self, activations: dict[str, int], logits: int) -> Moment:
        """The step's last logits are still there."""
        return self.moment(
            "the update",
            gradients=self.parameters,
            activations=dict.fromkeys(activations, 0),
            logits=logits,
            workspace=_update_workspace(self.preset, self.parameters, self.m),
        )

    def evaluation(self, activations: dict[str, int], **more: int) -> Moment:
        """The gradients are those of the step before: they go when the next one begins."""
        return self.moment(
            "evaluation",
            gradients=self.parameters,
            activations=dict.fromkeys(activations, 0),
            tokens=self.eval_tokens,
            **more,
        )


def _state(preset: Preset, parameters: int) -> int:
    """How many numbers the optimizer keeps: two moments for adamw, one for momentum, Muon's per its part."""
    kind = preset.optimizer.kind
    if kind == "adamw":
        return 2 * parameters
    if kind == "sgd":
        return parameters if preset.optimizer.momentum else 0
    matrices = block_matrices(preset.model)
    return matrices + 2 * (parameters - matrices)


def _update_workspace(preset: Preset, parameters: int, m: int) -> int:
    """What an update needs beside weights, gradients and state.

    AdamW is one fused kernel: nothing. SGD with decay makes the decayed gradients anew. Muon takes one matrix after
    another; the largest, width × 4·width, has its momentum, three of its like in bf16, and two squares.
    """
    if preset.optimizer.kind == "sgd":
        return parameters * m if preset.optimizer.weight_decay else 0
    if preset.optimizer.kind == "muon" and preset.model.kind == "gpt":
        return preset.model.width**2 * (4 * m + _ROUNDED * (3 * 4 + 2))
    return 0


def _gpt(t: _Training) -> Iterator[Moment]:
    """sdpa keeps no T×T matrix, unless it drops some of it: a CPU then computes it plainly, in m bytes."""
    model, n, m, f, V = t.model, t.tokens, t.m, t.f, t.vocab
    width, layers = model.width, model.layers
    stream = n * width * m  # the residual stream is never rounded
    flow = n * width * f
    statistics = 2 * n * m  # a norm's mean and deviation of each token
    drop = flow if model.dropout else 0  # what a dropout keeps is as large as what it drops from
    square = n * model.heads * t.T * (f if t.plain else m)
    if t.plain:
        # The norm's output; q, k, v; the probabilities, what was dropped, what is left; the result; the stream after.
        squares = (3 if model.dropout else 1) * square
        attention = flow + statistics + 3 * flow + squares + flow + drop + stream
    elif model.dropout:
        # The norm's output; q, k, v; the probabilities, what was dropped, what is left; the result; the stream after.
        attention = flow + statistics + 3 * stream + 3 * square + flow + drop + stream
    else:
        # The norm's output; q, k, v; the result, one number for each head; the stream after.
        attention = flow + statistics + 3 * flow + flow + n * model.heads * m + stream
    # The norm's output; 4·width before and after GELU; the stream after.
    feed_forward = flow + statistics + 8 * flow + drop + stream
    embeddings = 2 * stream if model.dropout else stream
    logits = n * V * f
    head = V * width
    rounded = block_matrices(model) + head
    each = f"{layers} layer{'s' if layers > 1 else ''}"

    def held(embeddings: int, attention: int = 0, feed_forward: int = 0, final_norm: int = 0) -> dict[str, int]:
        return {
            "embeddings": embeddings,
            f"attention ({each})": attention,
            f"feed-forward ({each})": feed_forward,
            "final norm": final_norm,
        }

    yield t.moment(
        "the gradient of the loss",
        gradients=t.from_before,
        activations=held(embeddings, layers * attention, layers * feed_forward, flow + statistics),
        logits=t.loss(n, f),
        rounded=rounded,
    )
    yield t.moment(
        "backward through the last layer",
        gradients=t.from_before + head + 4 * width**2,
        activations=held(embeddings, layers * attention, layers * feed_forward - stream),
        logits=logits,
        # The gradients of the stream, in bf16 too where that is another, and of GELU's result.
        workspace=stream + (flow if t.bf16 else 0) + 4 * flow + drop,
        rounded=rounded,
    )
    if model.dropout or t.plain:
        yield t.moment(
            "backward through the last attention",
            gradients=t.from_before + head + 9 * width**2,
            activations=held(embeddings, layers * attention - stream - flow - drop, (layers - 1) * feed_forward),
            logits=logits,
            # The gradients of the probabilities (plainly of the scores too), and of the stream, the result, the values.
            workspace=2 * square + stream + 2 * flow if t.plain else square + 3 * stream,
            rounded=rounded,
        )
    yield t.moment(
        "backward through the first layer",
        gradients=t.parameters + (head + 3 * width**2 if t.from_before else 0),
        activations=held(embeddings, flow + statistics),
        logits=logits,
        workspace=stream + 3 * flow,  # the gradients of the stream, and of q, k, v
    )
    yield t.update(held(0), logits)
    e = t.eval_tokens
    # The stream before and after attention, the norm's output, and 4·width before and after GELU.
    workspace = e * width * (2 * m + 9 * f)
    if t.plain:  # the norm's output, q, k, v, and a layer's scores and probabilities
        workspace = max(workspace, e * width * (m + 5 * f) + 2 * e * model.heads * t.T * f)
    yield t.evaluation(held(0), logits=0, workspace=workspace, rounded=rounded)
    yield t.evaluation(held(0), logits=t.eval_loss(e, f))


def _mlp(t: _Training) -> Iterator[Moment]:
    """One prediction for each row: there are B rows of logits, whatever T is."""
    model, n, f = t.model, t.asked, t.f
    width = n * model.hidden * f
    activations = {
        "embeddings": t.tokens * model.embedding * f,
        # tanh's result, and what batch norm was given.
        "hidden layer": (2 if model.norm == "batch" else 1) * width,
    }
    logits = n * t.vocab * f
    rounded = t.parameters - t.vocab * model.embedding
    yield t.moment(
        "the gradient of the loss",
        gradients=t.from_before,
        activations=activations,
        logits=t.loss(n, f),
        rounded=rounded,
    )
    yield t.moment(
        "backward through the hidden layer",
        gradients=t.parameters,
        activations=activations,
        logits=logits,
        workspace=2 * width,
        rounded=rounded,
    )
    yield t.update(activations, logits)
    e = t.eval_asked
    workspace = (t.eval_tokens * model.embedding + 2 * e * model.hidden) * f
    yield t.evaluation(activations, logits=0, workspace=workspace, rounded=rounded)
    yield t.evaluation(activations, logits=t.eval_loss(e, f))


def _bigram(t: _Training) -> Iterator[Moment]:
    """A table look-up: the logits are all there is, and no matmul that autocast would round."""
    logits = t.tokens * t.vocab * t.m
    yield t.moment("the gradient of the loss", gradients=t.from_before, activations={}, logits=t.loss(t.tokens, t.m))
    # The logits' gradient is there while it is added up, row by row, in a table of zeros.
    gradients = t.from_before + t.parameters
    yield t.moment("backward through the table", gradients=gradients, activations={}, logits=2 * logits)
    yield t.update({}, logits)
    yield t.evaluation({}, logits=t.eval_loss(t.eval_tokens, t.m))
