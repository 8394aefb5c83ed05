"""Checkpoints: weights and optimizer in safetensors, the rest in JSON, never pickle.

A checkpoint is written aside, synced and renamed, so it is there whole or not at all. Before the rename,
steps.bin and events.jsonl are synced and their lengths noted in meta.json: a resume cuts back to exactly there.
The last two and the best are kept.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from workbench.data.tokenizers import Tokenizer
from workbench.errors import WorkbenchError, out_of_memory
from workbench.runs import FORMAT, vocabulary
from workbench.runs.files import (
    DIRECTORY_MODE,
    FILE_MODE,
    NewerFormat,
    json_object,
    opened,
    read_json,
    replace_json,
    sync_directory,
)
from workbench.training.models import Model
from workbench.training.optimizers import Optimizer
from workbench.training.position import Position

Meta = dict[str, Any]
_PIECE = 2**20
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ELOOP)
"""There is no such file. What else keeps one from being read may pass, and the file is as good as it was."""


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
        return self._tensors("model.safetensors")

    def optimizer(self) -> dict[str, Tensor]:
        return self._tensors("optimizer.safetensors")

    def _tensors(self, name: str) -> dict[str, Tensor]:
        path, written = self.path / name, self.meta.get("crc32", {})
        tensors = _tensors(path)
        if name in written and _crc32(path) != written[name]:  # an earlier version's checkpoints have none
            raise WorkbenchError(
                f"{path}: not the bytes that were written: its checksum differs; "
                "move this checkpoint away to go on from the one before"
            )
        return tensors

    def tokenizer(self) -> Tokenizer:
        """The run's tokenizer: what is needed to sample without its corpus."""
        return Tokenizer.from_json(read_json(self.path / "tokenizer.json"))


def folder_of(run: Path) -> Path:
    return run / "checkpoints"


def available(run: Path) -> list[Checkpoint]:
    """Every whole checkpoint of a run, the oldest first. One whose meta.json or tensors are damaged is none."""
    return _sound(_named(_listed(run)))


def _sound(named: list[Path]) -> list[Checkpoint]:
    return sorted((c for c in map(_whole, named) if c), key=lambda c: c.step)


def damaged(run: Path, after: int = -1) -> list[Path]:
    """What is named like a checkpoint of a step past `after`, and is none."""
    return sorted(path for path in _named(_listed(run)) if _step_of(path) > after and not _whole(path))


def _named(listed: list[Path]) -> list[Path]:
    return [path for path in listed if _step_of(path) >= 0]


def _listed(run: Path) -> list[Path]:
    """All that is there. A folder that cannot be listed now is not taken for an empty one: WorkbenchError."""
    folder = folder_of(run)
    try:
        return [folder / name for name in os.listdir(folder)]
    except OSError as error:
        if error.errno in _MISSING:
            return []
        raise WorkbenchError(f"{folder}: cannot be read ({error.strerror or error})") from None


def _step_of(path: Path) -> int:
    number = path.name.removeprefix("step-")
    return int(number) if path.name.startswith("step-") and number.isdecimal() else -1


def _whole(path: Path) -> Checkpoint | None:
    """The checkpoint in a folder; None where something of it is missing or cut. No tensor is read."""
    try:
        return _read(path)
    except OSError as error:
        if out_of_memory(error):
            raise
        raise WorkbenchError(f"{path}: cannot be read ({error.strerror or error})") from None  # nor taken for none


def _read(path: Path) -> Checkpoint | None:
    """The same. OSError where it cannot be read: that may pass."""
    meta_json, *tensors = (path / name for name in ("meta.json", "model.safetensors", "optimizer.safetensors"))
    try:
        with opened(meta_json) as there:
            meta = json_object(there.read(), meta_json)
        for file in tensors:
            opened(file).close()
            with _refusals(file), safe_open(file, "pt"):  # its header, held against the file's length
                pass
        sound = (
            vocabulary.count(meta.get("step"))
            and vocabulary.number(meta.get("val_loss"))
            and isinstance(meta.get("crc32", {}), dict)
        )
        return Checkpoint(path, meta) if sound else None
    except NewerFormat:  # nothing is missing: going back to an earlier one would throw away what is good
        raise
    except OSError as error:
        if error.errno not in _MISSING:
            raise
        return None
    except (SafetensorError, WorkbenchError):
        return None


def whole(checkpoint: Checkpoint) -> Meta:
    """Its meta.json, if it has all that a run goes on from. WorkbenchError where it has not."""
    meta, count, number = checkpoint.meta, vocabulary.count, vocabulary.number
    position = meta.get("position")
    told = position if isinstance(position, dict) else {}
    fits = {
        "settings": isinstance(meta.get("settings"), dict),
        "records": count(meta.get("records")),
        "events_bytes": count(meta.get("events_bytes")),
        "fingerprint": isinstance(meta.get("fingerprint"), str),
        "attempt": count(meta.get("attempt", 1)),
        "edits_to_make": vocabulary.edits(meta.get("edits_to_make", [])),
        "position": told.keys() == {f.name for f in fields(Position)} - {"step"}
        and all(count(told[name]) for name in ("tokens", "rows_before"))
        and isinstance(told["time"], float)
        and all(number(told[name]) for name in ("time", "best", "val_loss"))
        and (told["val_step"] is None or count(told["val_step"]))
        and isinstance(told["done_here"], list)
        and isinstance(told["spread"], list)
        and len(told["spread"]) == 3
        and all(value is not None and number(value) for value in told["spread"])
        and vocabulary.base(told["base"]),
    }
    strange = [name for name, holds in fits.items() if not holds]
    if strange:
        raise WorkbenchError(
            f"{checkpoint.path / 'meta.json'}: {strange[0]} holds what no worker writes; "
            "move this checkpoint away to go on from the one before"
        )
    return meta


def newest(run: Path, *, before: int | None = None) -> Checkpoint | None:
    """The last one, or the last of those made before step `before`."""
    return next((c for c in reversed(available(run)) if before is None or c.step < before), None)


def best(checkpoints: list[Checkpoint]) -> Checkpoint | None:
    """The one with the lowest validation loss; the earlier of two equals."""
    judged = [(c.val_loss, c.step, c) for c in checkpoints if c.val_loss is not None]
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
    if _is_there(path) and (same := _read(path)):  # the same step has the same tensors: only meta.json can differ
        replace_json(path / "meta.json", _complete(meta(), step, same.meta.get("crc32", {})), durable=True)
        return path
    shutil.rmtree(path, ignore_errors=True)  # one that cannot be read is none
    aside = folder_of(run) / f".{path.name}.{secrets.token_hex(4)}"
    aside.mkdir(mode=DIRECTORY_MODE)
    try:
        _write_tensors(aside / "model.safetensors", model.state_dict())
        _write_tensors(aside / "optimizer.safetensors", optimizer.state())
        replace_json(aside / "tokenizer.json", {**tokenizer.to_json(), "format": FORMAT}, durable=True)
        crc32 = {name: _crc32(aside / name) for name in ("model.safetensors", "optimizer.safetensors")}
        replace_json(aside / "meta.json", _complete(meta(), step, crc32), durable=True)
        aside.rename(path)
        sync_directory(path.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return path


def _is_there(path: Path) -> bool:
    """OSError where nobody can say, as of a dead mount: that passes."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _complete(meta: Meta, step: int, crc32: dict[str, int]) -> Meta:
    return {"format": FORMAT, **meta, "step": step, "crc32": crc32}


def _crc32(path: Path) -> int:
    """Of a file's bytes: a disk may give back others than it was given, and safetensors would not know."""
    sum_ = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            sum_ = zlib.crc32(piece, sum_)
    return sum_


def prune(run: Path) -> None:
    """Keep the last two and the best, and sweep up what a crash left half-written.

    Where one cannot be read now, or by this version, or none is whole, all stay: the next call can tell.
    """
    try:
        listed = _listed(run)
        checkpoints = _sound(_named(listed))
    except (WorkbenchError, OSError, RuntimeError):
        return
    if not checkpoints:
        return
    keep = {c.path for c in [*checkpoints[-2:], best(checkpoints)] if c}
    for rest in [*_named(listed), *(path for path in listed if path.name.startswith(".step-"))]:
        if rest not in keep:
            shutil.rmtree(rest, ignore_errors=True)


def forget_after(run: Path, step: int) -> None:
    """Remove checkpoints past `step`, damaged ones too: the run is about to go another way from there."""
    for path in _named(_listed(run)):
        if _step_of(path) > step:
            shutil.rmtree(path, ignore_errors=True)


def load_into(checkpoint: Checkpoint, model: Model, optimizer: Optimizer | None = None) -> None:
    """Put the weights (and the optimizer's state) back. WorkbenchError where they are not this model's."""
    try:
        weights = checkpoint.model()
        for name, there in model.state_dict().items():
            if name in weights and weights[name].is_floating_point() != there.is_floating_point():
                raise WorkbenchError(
                    f"{checkpoint.path}: {name} is {weights[name].dtype}, but the model's is {there.dtype}"
                )
        model.load_state_dict(weights)
        if optimizer:
            optimizer.load(checkpoint.optimizer())
    except (RuntimeError, KeyError) as error:
        if out_of_memory(error):
            raise
        raise WorkbenchError(f"{checkpoint.path}: not this model's weights: {str(error).splitlines()[0]}") from None


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        opened(path).close()
        with _refusals(path):
            tensors = load_file(path)
    except (OSError, SafetensorError, ValueError, RuntimeError, KeyError) as error:
        if out_of_memory(error):
            raise
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WorkbenchError(f"{path}: not a readable safetensors file ({why})") from None
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise WorkbenchError(
                f"{path}: {name} holds NaN or infinity, which is no state to go on from; "
                "move this checkpoint away to go on from the one before"
            )
    return tensors


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    with _refusals(path):
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, path)
    path.chmod(FILE_MODE)
    _sync(path)


@contextlib.contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """What the operating system refused is an OSError again: a SafetensorError has its number in the text alone."""
    try:
        yield
    except SafetensorError as error:
        if number := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
        raise


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
