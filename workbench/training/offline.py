"""`workbench sample` and `workbench eval`: a run's last checkpoint, outside its run."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench import preset as presets
from workbench.data.corpus import open_corpus
from workbench.data.tokenizers import Tokenizer
from workbench.data.visible import visible
from workbench.errors import DataError, UsageError, WorkbenchError
from workbench.preset import Preset
from workbench.runs import FORMAT, settings, vocabulary
from workbench.runs.events import finite, now
from workbench.runs.files import dump, read_json, replace_json
from workbench.training import checkpoints, device
from workbench.training.checkpoints import Checkpoint
from workbench.training.device import Resolved
from workbench.training.evaluate import Evaluator
from workbench.training.models import Model, build
from workbench.training.sampling import generate


def sample(
    run: Path,
    *,
    prompt: str | None,
    tokens: int | None,
    temperature: float | None,
    top_k: int | None,
    seed: int | None,
    json: bool,
) -> int:
    """Print what follows a prompt. What is None is as the run has it."""
    checkpoint, preset, tokenizer, model, resolved = _loaded(run)
    given = {"prompt": prompt, "tokens": tokens, "temperature": temperature, "top_k": top_k, "seed": seed}
    changes = {f"sample.{key}": value for key, value in given.items() if value is not None}
    chosen = presets.apply(preset, changes, source="sample").sample
    text = _prompt(chosen.prompt, tokenizer, named=prompt is not None)
    newline = tokenizer.newline_id if preset.data.layout == "windows" else None
    with resolved.autocast():
        ids = generate(
            model, tokenizer.encode(text), tokens=chosen.tokens, T=_context(preset), temperature=chosen.temperature,
            top_k=chosen.top_k, seed=chosen.seed, newline=newline,
        )  # fmt: skip
    out = tokenizer.decode(ids)
    if json:
        told = {"format": FORMAT, "type": "sample", "step": checkpoint.step, "prompt": text, "text": out}
        print(dump(told))
    else:
        print(visible(text + out))
    return 0


def evaluate(run: Path, *, split: str, json: bool) -> int:
    """Print the mean loss over a split, all of it: val and train as an eval does, or test, which is looked at once.

    The first look at the test split is recorded in the run's test.json; a later one repeats what it found, unless
    the run has trained further since.
    """
    looks = _looks(run) if split == "test" else []
    there = checkpoints.newest(run)
    if looks and there and _which(there) == (looks[-1]["step"], looks[-1]["attempt"]):
        told, recorded = looks[-1], True
    else:
        told, recorded = _evaluated(run, split), False
        if split == "test":
            looks.append(told)
            _record(run, looks)
    told = {"format": FORMAT, "type": "eval", **told}
    if split == "test":
        told |= {"looks": len(looks), "recorded": recorded, "first_at": looks[0]["at"]}
    if json:
        print(dump(told))
        return 0
    perplexity = "inf" if told["perplexity"] is None else f"{told['perplexity']:.2f}"
    print(
        f"{visible(run.name)} at step {told['step']:,}: {split} {told[f'{split}_loss']:.4f} "
        f"(perplexity {perplexity}), train {told['train_loss']:.4f}"
    )
    if recorded:
        print(f"This is the figure of {told['at']}: the test split is looked at once, and was not looked at again.")
    elif len(looks) > 1:
        print(
            f"This was look {len(looks)} at the test split: the run has trained further since {looks[-2]['at']}. "
            "What was chosen by an earlier look is not tested by this one."
        )
    elif split == "test":
        print(
            "This was the test split, and its one look: it is recorded, and asked again it is told from there. "
            "What is chosen by it is no longer tested by it."
        )
    return 0


def _evaluated(run: Path, split: str) -> dict[str, Any]:
    checkpoint, preset, tokenizer, model, resolved = _loaded(run)
    corpus = open_corpus(preset.data)
    if corpus.fingerprint != checkpoint.meta["fingerprint"]:
        raise DataError("the corpus has changed since the checkpoint was made, so its losses would not compare")
    judged = corpus.splits.get("test" if split == "test" else "val")
    if judged is None:
        why = "only split = 'lines' has one" if split == "test" else "val_fraction is 0"
        raise UsageError(f"{run.name} has no {split} split: {why}")
    T = presets.load(str(run / "preset.toml")).preset.batch.T  # what the run began with, whatever it is now
    if _context(preset) < T:
        raise WorkbenchError(
            f"{run / 'preset.toml'}: batch.T = {T}, but the model of {checkpoint.path} sees {_context(preset)} tokens; "
            "the file was changed or damaged"
        )
    evaluator = Evaluator(
        train=corpus.splits["train"], val=judged, T=T, tokens=0,
        newline=tokenizer.newline_id if preset.data.layout == "windows" else None, device=resolved.torch_device,
        autocast=resolved.autocast,
    )  # fmt: skip
    result = evaluator(model)
    assert result.val_loss is not None
    step, attempt = _which(checkpoint)
    told = {
        "at": now(), "step": step, "attempt": attempt, "split": split, "train_loss": result.train_loss,
        f"{split}_loss": result.val_loss,
        "perplexity": math.inf if result.val_loss >= 700 else math.exp(result.val_loss), "tokens": judged.n,
    }  # fmt: skip
    return finite(told)


def _which(checkpoint: Checkpoint) -> tuple[int, int]:
    """What tells two checkpoints of one run apart."""
    return checkpoint.step, int(checkpoint.meta.get("attempt", 1))


def _looks(run: Path) -> list[dict[str, Any]]:
    """Every look at the test split so far, the first one first."""
    path = run / "test.json"
    if not os.path.lexists(path):
        return []
    looks = read_json(path).get("looks")
    if not isinstance(looks, list) or not looks or not all(map(_is_look, looks)):
        raise WorkbenchError(f"{path}: no list of looks at the test split; the file was changed or damaged")
    return looks


def _is_look(look: object) -> bool:
    return (
        isinstance(look, dict)
        and isinstance(look.get("at"), str)
        and all(vocabulary.count(look.get(name)) for name in ("step", "attempt"))
        and all(isinstance(look.get(name), float) for name in ("test_loss", "train_loss"))
        and "perplexity" in look
        and vocabulary.number(look["perplexity"])
    )


def _record(run: Path, looks: list[dict[str, Any]]) -> None:
    try:
        replace_json(run / "test.json", {"format": FORMAT, "looks": looks}, durable=True)
    except OSError as error:
        raise WorkbenchError(
            f"{run / 'test.json'}: {error.strerror}; a look that is not recorded is not told, mend it and look again"
        ) from None


def _loaded(run: Path) -> tuple[Checkpoint, Preset, Tokenizer, Model, Resolved]:
    checkpoint = checkpoints.newest(run)
    if checkpoint is None:
        if damaged := checkpoints.damaged(run):
            raise WorkbenchError(f"{damaged[-1]}: something of it is missing or cut, and there is no other checkpoint")
        raise UsageError(f"{run.name} has no checkpoint yet")
    source = str(checkpoint.path / "meta.json")
    preset = presets.from_document(checkpoints.whole(checkpoint)["settings"], source=source, folder=None)
    tokenizer = checkpoint.tokenizer()
    resolved = device.resolve(preset)
    recorded = settings.resolved(run) or {}
    if recorded.get("device") == resolved.device:  # the same losses as the run's own, where they can be had
        resolved = Resolved(
            **{**resolved.to_json(), **{name: recorded[name] for name in ("precision", "attention", "threads")}}
        )
    device.take(resolved)
    model = build(
        preset.model, vocab=tokenizer.vocab_size, T=_context(preset), seed=preset.seed, attention=resolved.attention
    )
    model.to(device=resolved.torch_device, dtype=resolved.dtype)
    checkpoints.load_into(checkpoint, model)
    return checkpoint, preset, tokenizer, model, resolved


def _context(preset: Preset) -> int:
    return preset.model.context or preset.batch.T


def _prompt(prompt: str, tokenizer: Tokenizer, *, named: bool) -> str:
    """The run's default newline gives way to the vocabulary's first token where it has no newline."""
    if prompt == "\n" and not named and tokenizer.newline_id is None:
        return tokenizer.decode([0])
    try:
        ids: Sequence[int] = tokenizer.encode(prompt).tolist()
    except UsageError as error:
        raise UsageError(f"--prompt {prompt!r}: {error}") from None
    if not ids:
        raise UsageError("--prompt '': expected at least one character to start from")
    return prompt
