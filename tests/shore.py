"""A small run as it really went, told again without a worker: what the pictures of the screen show.

Losses, norms and samples are those of a real run of this preset whose lr was halved at step 125, drawn smoothly through
a few of them and scattered as they were.
Nothing here depends on the machine, the clock or the Python: figures are rounded to what any machine computes alike.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from workbench.data.batches import batch, fingerprint
from workbench.data.corpus import Corpus
from workbench.data.rows import Rows
from workbench.plan.schedule import lr_of
from workbench.preset import Preset
from workbench.runs.inspections import Inspected

TEXT = """\
The tide goes out and leaves the harbour bare. Boats lean on the mud like old men on a wall, and the gulls walk among
them as if they had paid for the place. Nobody hurries. The ropes hang loose, the bell on the buoy is still, and the
smell of salt and weed comes up over the road.
Then the water turns. First it fills the footprints of the birds, then the ruts of the cart, then the long low pool by
the slip. A plank lifts, and a boat that was a house becomes a boat again. By noon the harbour is full and the men are
gone to sea, and only the children and the dog are left to count the waves.
In the evening they come home. The lamps go up one by one along the quay, the nets are hung to dry, and the price of
the fish is shouted from the steps. When the last lamp is out, the tide goes out, and leaves the harbour bare.
"""
STEPS = 500
PRESET: dict[str, Any] = {
    "name": "shore",
    "data": {"text": TEXT},
    "batch": {"B": 8, "T": 64},
    "model": {"layers": 2, "heads": 2, "width": 48},
    "optimizer": {"lr": 6e-3},
    "schedule": {"steps": STEPS, "warmup": 20, "min_lr": 6e-4},
    "eval": {"every": 50},
    "checkpoint": {"every": 100},
    "sample": {"every": 125, "tokens": 100},
    "device": {"name": "cpu", "threads": 1},
}
ACCUMULATED = PRESET | {"name": "shore-accum", "batch": {"B": 2, "T": 64, "accum": 8}}

_AT = (0, 10, 20, 40, 60, 100, 150, 200, 250, 300, 350, 400, 450, 500)
_LOSS = (3.542, 3.031, 2.585, 2.199, 2.074, 1.955, 1.654, 1.373, 1.098, 0.777, 0.600, 0.464, 0.386, 0.329)
_NORM = (1.25, 2.54, 1.13, 0.58, 0.60, 0.73, 0.97, 1.46, 2.03, 2.24, 1.99, 1.92, 1.99, 2.05)
_EVAL_AT = (0, 50, 100, 150, 200, 250, 300, 350, 400, 450, 500)
_EVAL_TRAIN = (3.572, 2.073, 1.817, 1.742, 1.542, 1.529, 1.456, 1.298, 1.118, 0.924, 0.808)
_EVAL_VAL = (3.567, 2.376, 2.406, 2.411, 2.348, 2.545, 2.717, 2.765, 2.966, 2.956, 3.009)
_SAMPLES = {
    0: "qyhTgypteBfnspIbeff nfbgIoqbq.,wndA trTrtvuteqaitgwmAtmtFoWhhnNuuoau,g,kawc,fbuItnbrp,dN.WAomIawANIt",
    125: "hure sate fists nd wan atoall. tnd the rthute aisgamet thend con oan bon the. me n the bon ome wathe",
    250: "avhurs theme p. Nood he porbe. Bn hurrie bures.isgoooary The Thupanut t ots fo o nd lan the me wathe",
    375: "thev s. plififikes ooft the count t irds ofilshe rd the ron ang are areilnd ofulsnd t the wen ang th",
    500: "theves. plies, of the boy is sting the A plll anbooolt by the n come. The n amun n ap. boaid for the",
}
SECONDS = 0.004


def evaluated(done: int) -> tuple[float, float]:
    """The training and the validation loss after so many updates."""
    return round(float(np.interp(done, _EVAL_AT, _EVAL_TRAIN)), 4), round(
        float(np.interp(done, _EVAL_AT, _EVAL_VAL)), 4
    )


def sample(done: int) -> str:
    return _SAMPLES[max(at for at in _SAMPLES if at <= done)]


def record(step: int, *, up: float = 0.0, noise: float = 1.0) -> tuple[float, float, float]:
    """Loss, gradient norm and seconds of a record; `up` is added to the loss, `noise` multiplies how it scatters."""
    chance = random.Random(step)
    scatter = sum(chance.random() for _ in range(6)) - 3  # nearly normal, and the same everywhere
    loss = float(np.interp(step, _AT, _LOSS)) + up * min(step / 60, 1) + 0.085 * noise * scatter * min(step / 20, 1)
    norm = float(np.interp(step, _AT, _NORM)) * (0.85 + 0.3 * chance.random())
    seconds = SECONDS * (0.97 + 0.06 * chance.random())
    return round(loss, 4), round(norm, 4), round(seconds, 6)


def inspect(run: Path, file: str, corpus: Corpus, preset: Preset, step: int) -> Mapping[str, Any]:
    """Write what a worker would answer about one record, and return the fields of its answer.

    A target costs what counting the two characters before it would charge for it, scaled to the record's loss.
    """
    b, rows = preset.batch, Rows.of(preset, tokens=corpus.splits["train"].n)
    count = b.B * b.accum
    x, y = batch(corpus.splits["train"], rows.offsets(step * count, count), b.T, None)
    V, (loss, norm, _) = corpus.tokenizer.vocab_size, record(step)
    counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    text = corpus.tokenizer.encode(TEXT).tolist()
    for i in range(2, len(text)):
        for order in range(3):
            counts[tuple(text[i - order : i])][text[i]] += 1
    losses = np.zeros(x.shape, np.float64)
    likely = np.zeros((*x.shape, V), np.float64)
    for r in range(count):
        for t in range(b.T):
            chances = np.full(V, 1 / V)
            for order in range(min(t + 2, 3)):
                seen = counts[tuple(x[r, t + 1 - order : t + 1].tolist())]
                total = sum(seen.values())
                chances = (3 * chances + [seen[c] for c in range(V)]) / (3 + total)
            likely[r, t] = chances
            losses[r, t] = -np.log(chances[y[r, t]])
    losses = np.round(losses * loss / losses.mean(), 4)
    losses[-1, -1] += loss * losses.size - losses.sum()
    for r, t in np.ndindex(*x.shape):
        p, before = np.exp(-losses[r, t]), likely[r, t, y[r, t]]
        likely[r, t] *= (1 - p) / (1 - before)
        likely[r, t, y[r, t]] = p
    guesses = np.argsort(-likely, axis=-1, kind="stable")[..., :5]
    micro = np.round(losses.reshape(b.accum, -1).mean(axis=1), 4)
    told = Inspected(
        x=x.astype(np.int32), y=y.astype(np.int32), losses=losses.astype(np.float32), guesses=guesses.astype(np.int32),
        chances=np.take_along_axis(likely, guesses, -1).astype(np.float32), micro_losses=micro,
        micro_norms=norm * np.sqrt(np.arange(1, b.accum + 1) / b.accum), hash=fingerprint([x], [y]), step=step,
        rows_before=step * count, loss=loss, grad_norm=norm, clip_coefficient=min(1.0, preset.optimizer.clip / norm),
        lr=lr_of(preset, step), update_ratio=0.0021, B=b.B, T=b.T, accum=b.accum, world=1,
    )  # fmt: skip
    tensors = {name: value for name, value in vars(told).items() if isinstance(value, np.ndarray)}
    save_file(tensors, run / file, {name: str(v) for name, v in vars(told).items() if name not in tensors})
    return {"step": step, "hash": told.hash, "file": file}
