"""Text out of a model: from a prompt, token by token, with a generator of its own, so training never notices."""

from collections.abc import Callable

import numpy as np
import torch

from workbench.data.counter import key_of
from workbench.training.models import Model

_SAMPLE = 5  # the purpose that keeps these draws apart


@torch.no_grad()
def generate(
    model: Model,
    prompt: np.ndarray,
    *,
    tokens: int,
    T: int,
    temperature: float,
    top_k: int,
    seed: int,
    newline: int | None = None,
    between: Callable[[], None] = lambda: None,
) -> list[int]:
    """`tokens` ids that follow the prompt's. temperature 0 takes the likeliest; top_k 0 allows every token. Fewer
    where the logits are no longer finite.

    `between` is called after each token, so that a worker can stay responsive.
    With `newline` (the windows layout) the model sees what it was trained on: this line's tokens, newlines before.
    """
    was_training = model.training
    model.eval()
    parameter = next(model.parameters())
    generator = torch.Generator().manual_seed(key_of(seed, _SAMPLE))
    ids = [int(i) for i in prompt]
    try:
        for _ in range(tokens):
            x = torch.tensor([_context(ids, T, newline)], device=parameter.device)
            logits = model(x)
            last = (logits[0, -1] if logits.dim() == 3 else logits[0]).to("cpu", torch.float64)  # (V,)
            if not torch.isfinite(last).all():
                break  # a model that has diverged has nothing to say
            ids.append(_choose(last, temperature, top_k, generator))
            between()
    finally:
        model.train(was_training)
    return ids[len(prompt) :]


def _context(ids: list[int], T: int, newline: int | None) -> list[int]:
    if newline is None:
        return ids[-T:]
    line: list[int] = []
    for token in reversed(ids[-T:]):
        if token == newline:
            break
        line.insert(0, token)
    return [newline] * (T - len(line)) + line


def _choose(logits: torch.Tensor, temperature: float, top_k: int, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    logits = (logits - logits.max()) / temperature  # at most 0, so no temperature is too low
    if 0 < top_k < len(logits):
        logits = logits.masked_fill(~_largest(logits, top_k), float("-inf"))
    return int(torch.multinomial(logits.softmax(0), 1, generator=generator))


def _largest(logits: torch.Tensor, k: int) -> torch.Tensor:
    """Where the k largest are, (V,). Of equal ones, which bf16 makes many of, the first: k of them, no more."""
    last = logits.topk(k).values[-1]
    above, equal = logits > last, logits == last
    return above | (equal & (equal.cumsum(0) <= k - above.sum()))
