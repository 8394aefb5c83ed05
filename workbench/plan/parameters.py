"""How many numbers a model learns, item by item, counted without building it."""

from collections.abc import Iterable
from dataclasses import dataclass

from workbench.preset import ModelTable


@dataclass(frozen=True)
class Item:
    """One line of a bill: what it is for, and how many (parameters here, bytes in `memory`)."""

    name: str
    count: int


def itemise(model: ModelTable, vocab: int, T: int) -> list[Item]:
    """The parameters of `model` over a vocabulary of `vocab` tokens.

    `T` is batch.T, the context of a model that names none. A gpt's blocks are summed over its layers.
    """
    if model.kind == "gpt":
        return _gpt(model, vocab, model.context or T)
    if model.kind == "mlp":
        return _mlp(model, vocab, model.context or T)
    return [Item("logits of the next token, one row for each token", vocab * vocab)]


def total(items: Iterable[Item]) -> int:
    """The sum of the counts."""
    return sum(item.count for item in items)


def block_matrices(model: ModelTable) -> int:
    """How many parameters are matrices inside a gpt's blocks: Muon's part of them. 0 for other kinds."""
    return 12 * model.layers * model.width**2 if model.kind == "gpt" else 0


def _gpt(model: ModelTable, vocab: int, context: int) -> list[Item]:
    """GPT-2 with the output head tied to the token embedding, as nanoGPT builds it."""
    layers, width = model.layers, model.width
    bias = width if model.bias else 0
    each = f"{layers} layer{'s' if layers > 1 else ''}"
    return [
        Item("token embedding, also the output head", vocab * width),
        Item("position embedding", context * width),
        Item(f"attention norm ({each})", layers * (width + bias)),
        Item(f"attention queries, keys, values ({each})", layers * (3 * width**2 + 3 * bias)),
        Item(f"attention output ({each})", layers * (width**2 + bias)),
        Item(f"feed-forward norm ({each})", layers * (width + bias)),
        Item(f"feed-forward up ({each})", layers * (4 * width**2 + 4 * bias)),
        Item(f"feed-forward down ({each})", layers * (4 * width**2 + bias)),
        Item("final norm", width + bias),
    ]


def _mlp(model: ModelTable, vocab: int, context: int) -> list[Item]:
    """makemore's: the context's embeddings side by side, one hidden layer, the output.

    Batch normalisation takes the hidden layer's bias out: its own shift would undo it.
    """
    hidden = [Item("hidden layer weights", context * model.embedding * model.hidden)]
    if model.norm == "batch":
        hidden.append(Item("batch norm gain and shift", 2 * model.hidden))
    else:
        hidden.append(Item("hidden layer bias", model.hidden))
    return [
        Item("token embedding", vocab * model.embedding),
        *hidden,
        Item("output weights", model.hidden * vocab),
        Item("output bias", vocab),
    ]
