"""What a plan comes to: steps, epochs, FLOPs, time, memory and lr. Counted, but for the rate, which a run measured."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import preset as presets
from workbench.data.corpus import Corpus
from workbench.lab import rate as rates
from workbench.plan import arithmetic, flops, memory, parameters, scaling
from workbench.plan.parameters import Item
from workbench.plan.planner import Plan, verdict
from workbench.preset import Preset

_VOCABULARIES = {"byte": 256, "gpt2": 50_257, "r50k_base": 50_257, "p50k_base": 50_281, "cl100k_base": 100_277}
"""Of tokenizers whose size is known without their files."""
_CHARACTERS = {"shakespeare": 65, "names": 27}
"""Distinct ones of the datasets that are fetched, the newline among them."""


@dataclass(frozen=True)
class Planned:
    """A plan's figures. What cannot be counted without the text, or was never measured, is None."""

    preset: Preset
    """As planned: B, T, accum, lr and min_lr are the plan's."""
    plan: Plan
    tokens_before: int
    """A step of the preset as it was given takes so many."""
    lr_before: float
    rule: scaling.Rule
    train: int | None
    """Targets of the training split."""
    vocab: int | None
    params: int | None
    memory: list[Item] | None
    flops: int | None
    """Of training, for one target."""
    rate: float | None
    """Targets a second, on all ranks together."""
    rate_from: str | None

    @property
    def factor(self) -> float:
        """What tokens a step are multiplied with, against the preset as it was given."""
        return self.plan.tokens / self.tokens_before

    @property
    def steps(self) -> int:
        return self.preset.schedule.steps

    @property
    def steps_per_epoch(self) -> float | None:
        return arithmetic.steps_per_epoch(self.train, self.plan.tokens) if self.train else None

    @property
    def epochs(self) -> float | None:
        return arithmetic.epochs(self.steps, self.train, self.plan.tokens) if self.train else None

    @property
    def seconds(self) -> float | None:
        """Of one step; evaluations come on top."""
        return self.plan.tokens / self.rate if self.rate else None

    @property
    def hourly(self) -> float | None:
        """Updates an hour."""
        return 3600 / self.seconds if self.seconds else None

    @property
    def verdict(self) -> str:
        return verdict(self.plan.accum, self.hourly)


def planned(
    given: Preset, plan: Plan, *, rule: scaling.Rule, corpus: Corpus | None, runs: Path, rate: float | None = None
) -> Planned:
    """What `plan` comes to for the preset `given`.

    lr goes with tokens a step by `rule`. `corpus` is the preset's, or None where it is not at hand. `rate` is
    targets a second on all ranks; without it, that of the newest run in `runs` of the same shapes. Raises
    PresetError where the plan fits no preset (T over model.context, B out of bounds).
    """
    before = arithmetic.tokens_per_step_of(given)
    preset = presets.apply(given, {"batch.B": plan.B, "batch.T": plan.T, "batch.accum": plan.accum}, source="plan")
    if given.optimizer.lr and plan.tokens != before:
        preset = scaling.rescaled(preset, 1, scaling.lr_factor(plan.tokens / before, rule)).preset
    vocab = corpus.tokenizer.vocab_size if corpus else known_vocabulary(preset)
    pinned = presets.pin_context(preset)
    rate, rate_from = (rate, "--rate") if rate else _measured(preset, runs, plan.world, vocab)
    return Planned(
        preset=preset,
        plan=plan,
        tokens_before=before,
        lr_before=given.optimizer.lr,
        rule=rule,
        train=corpus.splits["train"].n if corpus else None,
        vocab=vocab,
        params=parameters.total(parameters.itemise(pinned.model, vocab, plan.T)) if vocab else None,
        memory=memory.estimate(pinned, vocab) if vocab else None,
        flops=flops.per_token(pinned, vocab) if vocab else None,
        rate=rate,
        rate_from=rate_from,
    )


def known_vocabulary(preset: Preset) -> int | None:
    """The size of a preset's vocabulary where it is known without its text; None where it is not."""
    spec = preset.data.tokenizer
    if spec.startswith("bpe:"):
        return int(spec.removeprefix("bpe:"))
    return _CHARACTERS.get(preset.data.dataset) if spec == "char" else _VOCABULARIES.get(spec)


def _measured(preset: Preset, runs: Path, world: int, vocab: int | None) -> tuple[float | None, str | None]:
    found = rates.measured(preset, runs, vocab=vocab)
    if found is None:
        return None, None
    told = f"the median of the last steps of {found.run}, {found.device}, at B = {found.B}"
    if world > 1:
        told += f"; times {world}, which is the most that {world} ranks can do"
    return found.tokens_per_s * world, told


def document(p: Planned) -> dict[str, Any]:
    """The flat object that `plan --json` prints, without its format; `figures` repeats the numbers that are known."""
    tokens, steps = p.plan.tokens, p.steps
    numbers = {
        **p.plan.numbers(),
        "tokens_per_step": tokens,
        "rows_per_step": p.plan.rows,
        "steps": steps,
        "steps_per_epoch": p.steps_per_epoch,
        "epochs": p.epochs,
        "total_tokens": steps * tokens,
        "flops_per_token": p.flops,
        "flops_per_step": None if p.flops is None else p.flops * tokens,
        "flops_total": None if p.flops is None else p.flops * tokens * steps,
        "tokens_per_s": p.rate,
        "seconds_per_step": p.seconds,
        "seconds_total": p.seconds * steps if p.seconds else None,
        "updates_per_hour": p.hourly,
        "memory_bytes": parameters.total(p.memory) if p.memory else None,
        "params": p.params,
        "vocab": p.vocab,
        "lr": p.preset.optimizer.lr,
        "lr_before": p.lr_before,
        "min_lr": p.preset.schedule.min_lr,
        "tokens_factor": p.factor,
    }
    return {
        "type": "plan",
        "name": p.preset.name,
        "layout": p.plan.layout,
        "exact": True,
        **numbers,
        "product": p.plan.product(),
        "verdict": p.verdict,
        "rate_from": p.rate_from,
        "memory": {item.name: item.count for item in p.memory} if p.memory else None,
        "lr_rule": p.rule,
        "lr_why": scaling.why(p.preset.optimizer.kind),
        "figures": {name: value for name, value in numbers.items() if value is not None},
    }
