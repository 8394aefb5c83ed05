"""`workbench sample` and `workbench eval`: a run's last checkpoint, outside its run."""

import math
from collections.abc import Sequence
from pathlib import Path

from workbench import preset as presets
from workbench.data.corpus import open_corpus
from workbench.data.tokenizers import Tokenizer
from workbench.data.visible import visible
from workbench.errors import DataError, UsageError
from workbench.preset import Preset
from workbench.runs import FORMAT
from workbench.runs.events import finite
from workbench.runs.files import dump, read_json
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
    """Print the mean loss over a split, all of it: val and train as an eval does, or test."""
    checkpoint, preset, tokenizer, model, resolved = _loaded(run)
    corpus = open_corpus(preset.data)
    if corpus.fingerprint != checkpoint.meta["fingerprint"]:
        raise DataError("the corpus has changed since the checkpoint was made, so its losses would not compare")
    judged = corpus.splits.get("test" if split == "test" else "val")
    if judged is None:
        why = "only split = 'lines' has one" if split == "test" else "val_fraction is 0"
        raise UsageError(f"{run.name} has no {split} split: {why}")
    evaluator = Evaluator(
        train=corpus.splits["train"], val=judged, T=presets.load(str(run / "preset.toml")).preset.batch.T, tokens=0,
        newline=tokenizer.newline_id if preset.data.layout == "windows" else None, device=resolved.torch_device,
        autocast=resolved.autocast,
    )  # fmt: skip
    result = evaluator(model)
    assert result.val_loss is not None
    perplexity = math.inf if result.val_loss >= 700 else math.exp(result.val_loss)
    told = {
        "format": FORMAT, "type": "eval", "step": checkpoint.step, "split": split, "train_loss": result.train_loss,
        f"{split}_loss": result.val_loss, "perplexity": perplexity, "tokens": judged.n,
    }  # fmt: skip
    if json:
        print(dump(finite(told)))
    else:
        print(
            f"{run.name} at step {checkpoint.step:,}: {split} {result.val_loss:.4f} "
            f"(perplexity {perplexity:.2f}), train {result.train_loss:.4f}"
        )
        if split == "test":
            print("This was the test split. Look once, at the end: what is chosen by it is no longer tested by it.")
    return 0


def _loaded(run: Path) -> tuple[Checkpoint, Preset, Tokenizer, Model, Resolved]:
    checkpoint = checkpoints.newest(run)
    if checkpoint is None:
        raise UsageError(f"{run.name} has no checkpoint yet")
    source = str(checkpoint.path / "meta.json")
    preset = presets.from_document(checkpoint.meta["settings"], source=source, folder=None)
    tokenizer = checkpoint.tokenizer()
    resolved = device.resolve(preset)
    recorded = read_json(run / "resolved.json")
    if recorded.get("device") == resolved.device:  # the same losses as the run's own, where they can be had
        resolved = Resolved(
            **{**resolved.to_json(), "precision": recorded["precision"], "threads": recorded["threads"]}
        )
    device.take(resolved)
    model = build(preset.model, vocab=tokenizer.vocab_size, T=_context(preset), seed=preset.seed)
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
