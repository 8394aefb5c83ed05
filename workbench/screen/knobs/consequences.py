"""What the settings on the screen come to, and what the staged ones would change: counted, never guessed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.plan import arithmetic, memory, parameters, schedule
from workbench.preset import DataTable, Preset
from workbench.screen.bench.edits import number
from workbench.screen.frame.units import amount

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench


@dataclass(frozen=True)
class Consequence:
    """A figure now and, where what is staged changes it, after."""

    label: str
    before: str
    after: str = ""
    note: str = ""


def acts(bench: "Bench") -> str:
    """When what is staged acts; "" when nothing is."""
    if not bench.staged or not bench.alive:
        return ""
    dead = bench.needs_new_run
    live = len(bench.staged) - len(dead)
    names = ", ".join(dead)
    if not dead:
        return "a applies it: acts at the next step"
    if not live:
        return f"{names}: needs a new run; a asks"
    return f"{names}: needs a new run; the other {live} could act at the next step; a asks"


def sentence(bench: "Bench", p: Preset) -> str:
    """The arithmetic of a run of `p` in plain words; "" while the text is not there."""
    train = _train(bench, p)
    if not train:
        return ""
    unit = arithmetic.unit(p.data.tokenizer, p.data.layout)
    per_step = arithmetic.tokens_per_step_of(p, world=bench.world)
    return arithmetic.sentence(per_step=per_step, train=train, steps=p.schedule.steps, unit=unit)


def consequences(bench: "Bench", now: Preset, then: Preset) -> list[Consequence]:
    """The figures, those that a person looks for first at the top: of what is in force, and of what is proposed."""
    # A running model is built for its context; a T under it makes it no smaller.
    built = (bench.now, then) if bench.alive else (now, then)
    if bench.alive and not bench.needs_new_run:
        model = bench.now.model
        built = (bench.now, then.model_copy(update={"model": model}))
    found = [
        _both(_product_name(bench.world, now), _product(now, bench.world), _product(then, bench.world)),
        _learning_rate(bench, now, then),
        _epochs(bench, now, then),
        _memory(bench, *built),
        _parameters(bench, *built),
    ]
    return [consequence for consequence in found if consequence]


def _both(label: str, before: str, after: str, note: str = "") -> Consequence:
    return Consequence(label, before, after if after != before else "", note)


def _product_name(world: int, p: Preset) -> str:
    factors = ["B", "accum"] if p.data.layout == "windows" else ["B", "T", "accum"]
    return "·".join(factors + ["world"] * (world > 1))


def _product(p: Preset, world: int) -> str:
    """48·64·1 = 3,072: every factor that its name names."""
    factors = [p.batch.B, p.batch.accum] if p.data.layout == "windows" else [p.batch.B, p.batch.T, p.batch.accum]
    return "·".join(map(str, factors + [world] * (world > 1))) + f" = {arithmetic.tokens_per_step_of(p, world=world):,}"


def _learning_rate(bench: "Bench", now: Preset, then: Preset) -> Consequence:
    """lr where the run stands, and its peak: an edit of lr sets the peak, and the schedule does the rest."""
    run = bench.run
    step = min(run.step, max(now.schedule.steps - 1, 0)) if run and run.alive else 0

    def told(p: Preset) -> str:
        return f"{_rounded(schedule.lr_of(p, step))} of peak {number(p.optimizer.lr)}"

    return _both(f"lr at {step:,}", told(now), told(then))


def _rounded(lr: float) -> str:
    return f"{lr:.3g}" if 0.01 <= lr < 1000 or not lr else number(float(f"{lr:.2e}"))


def _epochs(bench: "Bench", now: Preset, then: Preset) -> Consequence | None:
    def told(p: Preset) -> str:
        train, per = _train(bench, p), arithmetic.tokens_per_step_of(p, world=bench.world)
        if not train:
            return "unknown until its text is open"
        epoch = arithmetic.rounded(arithmetic.steps_per_epoch(train, per))
        return f"{epoch} steps; {arithmetic.rounded(arithmetic.epochs(p.schedule.steps, train, per))} planned"

    before = told(now)
    return _both("an epoch", before, told(then)) if _train(bench, now) else None


def _memory(bench: "Bench", now: Preset, then: Preset) -> Consequence | None:
    def told(p: Preset) -> str:
        vocab = _vocab(bench, p)
        return amount(parameters.total(memory.estimate(p, vocab))) if vocab else "unknown"

    return _both("memory", told(now), told(then), "estimated") if _vocab(bench, now) else None


def _parameters(bench: "Bench", now: Preset, then: Preset) -> Consequence | None:
    def told(p: Preset) -> str:
        vocab = _vocab(bench, p)
        return f"{parameters.total(parameters.itemise(p.model, vocab, p.batch.T)):,}" if vocab else "unknown"

    return _both("parameters", told(now), told(then)) if _vocab(bench, now) else None


def _train(bench: "Bench", p: Preset) -> int:
    """The targets of the training split: tokens, or examples; 0 where the text that is open is another."""
    corpus = bench.text.corpus
    return corpus.splits["train"].n if corpus and _text_of(p.data) == _text_of(bench.text.data) else 0


def _vocab(bench: "Bench", p: Preset) -> int:
    corpus = bench.text.corpus
    same = (p.data.dataset, p.data.text, p.data.tokenizer) == (
        bench.text.data.dataset, bench.text.data.text, bench.text.data.tokenizer,
    )  # fmt: skip
    return corpus.tokenizer.vocab_size if corpus and same else 0


def _text_of(d: DataTable) -> object:
    """What of [data] decides which tokens there are to train on."""
    return d.dataset, d.text, d.tokenizer, d.split, d.val_fraction, d.layout
