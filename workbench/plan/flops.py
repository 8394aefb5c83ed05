"""Floating-point operations of training, counted from the shapes. A multiplication and an addition are two.

Counted are the matrix products of the forward and the backward pass, which is twice the forward one: a gradient
for the input and one for the weights. So a weight that multiplies costs 2 forward and 6 in all, a token (Kaplan
et al. 2020, arXiv:2001.08361, section 2.1). Attention's products of queries, keys and values have no weights and
grow with T: 12·layers·width·T a token in training (PaLM, Chowdhery et al. 2022, arXiv:2204.02311, appendix B);
as there, all T×T scores are counted, though causal attention needs only half of them.

The head is counted, tied or not. Looking an embedding up multiplies nothing, and norms, GELU, softmax, loss,
dropout and the optimizer's update are left out: each grows with the width alone, not with its square.
"""

from workbench.plan.arithmetic import tokens_per_step_of
from workbench.plan.parameters import Item, total
from workbench.preset import ModelTable, Preset

_TRAINING = 6
"""Operations of one weight on one token: 2 forward, 4 backward."""


def itemise(model: ModelTable, vocab: int, T: int) -> list[Item]:
    """What training on one position of a row of T tokens takes, product by product.

    A position is a token for gpt and bigram; an mlp has one for each row, after its T tokens. A bigram's table
    is only looked up, so its one item is 0.
    """
    if model.kind == "gpt":
        layers, width = model.layers, model.width
        return [
            Item("attention queries, keys, values", _TRAINING * 3 * layers * width**2),
            Item(f"attention over T = {T:,}", _TRAINING * 2 * layers * width * T),
            Item("attention output", _TRAINING * layers * width**2),
            Item("feed-forward up and down", _TRAINING * 8 * layers * width**2),
            Item("output head", _TRAINING * vocab * width),
        ]
    if model.kind == "mlp":
        return [
            Item("hidden layer", _TRAINING * (model.context or T) * model.embedding * model.hidden),
            Item("output", _TRAINING * model.hidden * vocab),
        ]
    return [Item("table, looked up", 0)]


def per_token(preset: Preset, vocab: int) -> int:
    """Operations of training for one target: what a token costs, or an example where the layout is windows.

    A gpt that is trained on windows reads, and pays for, all T tokens of the one target that it is asked for.
    """
    position = total(itemise(preset.model, vocab, preset.batch.T))
    read_for_one = preset.data.layout == "windows" and preset.model.kind != "mlp"
    return position * (preset.batch.T if read_for_one else 1)


def per_step(preset: Preset, vocab: int, *, world: int = 1) -> int:
    """Operations of one optimizer step, on all ranks together: `per_token` for each of its targets."""
    return per_token(preset, vocab) * tokens_per_step_of(preset, world=world)
