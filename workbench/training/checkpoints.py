"""Checkpoints: weights and optimizer in safetensors, the rest in JSON, never pickle.

A checkpoint is written aside, synced and renamed, so it is there whole or not at all. Before the rename,
steps.bin and events.jsonl are synced and their lengths noted in meta.json: a resume cuts back to exactly there.
The last two and the best are kept.
"""

import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from workbench.data.tokenizers import Tokenizer
from workbench.errors import WorkbenchError
from workbench.runs import FORMAT
from workbench.runs.files import DIRECTORY_MODE, FILE_MODE, read_json, replace_json, sync_directory
from workbench.training.models import Model
from workbench.training.optimizers import Optimizer

Meta = dict[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    path: Path
    meta: Meta

    @property
    def step(self) -> int:
        return int(self.meta["step"])

    @property
    def val_loss(self) -> float | None:
        value = self.meta.get("val_loss")
        return None if value is None else float(value)

    def model(self) -> dict[str, Tensor]:
        return _tensors(self.path / "model.safetensors")

    def optimizer(self) -> dict[str, Tensor]:
        return _tensors(self.path / "optimizer.safetensors")

    def tokenizer(self) -> Tokenizer:
        """The run's tokenizer: what is needed to sample without its corpus."""
        return Tokenizer.from_json(read_json(self.path / "tokenizer.json"))


def folder_of(run: Path) -> Path:
    return run / "checkpoints"


def available(run: Path) -> list[Checkpoint]:
    """Every whole checkpoint of a run, the oldest first. One whose meta.json is damaged is none."""
    found = []
    folder = folder_of(run)
    for path in folder.glob("step-*") if folder.is_dir() else []:
        try:
            meta = read_json(path / "meta.json")
            found.append(Checkpoint(path, meta | {"step": int(meta["step"])}))
        except (WorkbenchError, KeyError, TypeError, ValueError):
            continue
    return sorted(found, key=lambda c: c.step)


def newest(run: Path) -> Checkpoint | None:
    return next(iter(reversed(available(run))), None)


def best(run: Path) -> Checkpoint | None:
    """The one with the lowest validation loss; the earlier of two equals."""
    judged = [(c.val_loss, c.step, c) for c in available(run) if c.val_loss is not None]
    return min(judged, key=lambda t: t[:2])[2] if judged else None


def write(
    run: Path,
    step: int,
    model: Model,
    optimizer: Optimizer,
    tokenizer: Tokenizer,
    meta: Callable[[], Meta],
) -> Path:
    """Save step `step`. `meta` is called when the tensors are on the disk and returns what meta.json will hold:
    it is there that the logs are synced and measured."""
    path = folder_of(run) / f"step-{step:08d}"
    if any(
        checkpoint.path == path for checkpoint in available(run)
    ):  # the same step has the same tensors: only where the logs and settings stand can differ
        replace_json(path / "meta.json", _complete(meta(), step), durable=True)
        return path
    shutil.rmtree(path, ignore_errors=True)  # one that cannot be read is none
    aside = folder_of(run) / f".{path.name}.{secrets.token_hex(4)}"
    aside.mkdir(mode=DIRECTORY_MODE)
    try:
        _write_tensors(aside / "model.safetensors", model.state_dict())
        _write_tensors(aside / "optimizer.safetensors", optimizer.state())
        replace_json(aside / "tokenizer.json", {**tokenizer.to_json(), "format": FORMAT}, durable=True)
        replace_json(aside / "meta.json", _complete(meta(), step), durable=True)
        aside.rename(path)
        sync_directory(path.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return path


def _complete(meta: Meta, step: int) -> Meta:
    return {"format": FORMAT, **meta, "step": step}


def prune(run: Path) -> None:
    """Keep the last two and the best, and sweep up what a crash left half-written."""
    checkpoints = available(run)
    keep = {c.path for c in checkpoints[-2:]}
    if top := best(run):
        keep.add(top.path)
    for checkpoint in checkpoints:
        if checkpoint.path not in keep:
            shutil.rmtree(checkpoint.path, ignore_errors=True)
    for rest in folder_of(run).glob(".step-*"):
        shutil.rmtree(rest, ignore_errors=True)


def forget_after(run: Path, step: int) -> None:
    """Remove checkpoints past `step`, damaged ones too: the run is about to go another way from there."""
    for path in folder_of(run).glob("step-*"):
        number = path.name.removeprefix("step-")
        if number.isdecimal() and int(number) > step:
            shutil.rmtree(path, ignore_errors=True)


def load_into(checkpoint: Checkpoint, model: Model, optimizer: Optimizer | None = None) -> None:
    """Put the weights (and the optimizer's state) back. WorkbenchError where they are not this model's."""
    try:
        model.load_state_dict(checkpoint.model())
        if optimizer:
            optimizer.load(checkpoint.optimizer())
    except (RuntimeError, KeyError) as error:
        raise WorkbenchError(f"{checkpoint.path}: not this model's weights: {str(error).splitlines()[0]}") from None


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WorkbenchError(f"{path}: not a readable safetensors file ({error})") from None


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, path)
    path.chmod(FILE_MODE)
    _sync(path)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def inspect_write(run: Path, name: str, tensors: dict[str, Tensor], about: dict[str, str]) -> Path:
    """An answer to `inspect`: tensors and their description in one safetensors file; the last eight are kept."""
    folder = run / "inspect"
    folder.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    path, aside = folder / f"{name}.safetensors", folder / f".{name}"
    save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, aside, metadata=about)
    aside.chmod(FILE_MODE)
    aside.rename(path)
    for old in sorted(folder.glob("*.safetensors"), key=lambda p: p.stat().st_mtime_ns)[:-8]:
        old.unlink(missing_ok=True)
    return path
