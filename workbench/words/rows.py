"""`workbench rows`: the exact x and y of record N of a preset or a run, computed, not asked for."""

from dataclasses import dataclass
from pathlib import Path

from workbench import preset as presets
from workbench.data.batches import batch, fingerprint
from workbench.data.corpus import open_corpus
from workbench.data.rows import Base, Rows
from workbench.data.visible import visible
from workbench.errors import DataError, UsageError
from workbench.headless.lines import Preparing, narrate
from workbench.preset import Preset
from workbench.runs import FORMAT, directory
from workbench.runs.events import read_events
from workbench.runs.files import dump, read_json
from workbench.runs.records import StepReader


@dataclass(frozen=True)
class Where:
    """What record N reads with: the settings that held then, its base, and how many rows were read before."""

    preset: Preset
    base: Base
    first: int
    fingerprint: str | None = None


def tell(source: str, *, sets: list[str], step: int, runs: str | None, json: bool) -> int:
    """Print the rows of record `step`. A preset's name wins over a run's."""
    if step < 0:
        raise UsageError(f"--step {step}: records are counted from 0")
    where = _where(source, sets, step, runs)
    p = where.preset
    with Preparing(silent=json) as preparing:
        corpus = open_corpus(p.data, progress=preparing)
    if where.fingerprint and where.fingerprint != corpus.fingerprint:
        raise DataError("the corpus has changed since the run began, so these would be other rows")
    newline = corpus.newline if p.data.layout == "windows" else None
    train = corpus.splits["train"]
    function = function_of(where, tokens=train.n)
    offsets = function.offsets(where.first, p.batch.B * p.batch.accum)
    x, y = batch(train, offsets, p.batch.T, newline)
    decode = corpus.tokenizer.decode
    targets = y if y.ndim == 2 else y[:, None]
    x_text, y_text = [decode(row) for row in x], [decode(row) for row in targets]
    hash_ = fingerprint([x], [y])
    if json:
        told = {
            "format": FORMAT, "step": step, "hash": hash_, "B": p.batch.B, "T": p.batch.T, "accum": p.batch.accum,
            "offsets": offsets.tolist(), "x": x.tolist(), "y": y.tolist(), "x_text": x_text, "y_text": y_text,
        }  # fmt: skip
        print(dump(told))
        return 0
    narrate(f"record {step:,} of {source}: rows {where.first:,} to {where.first + len(x) - 1:,}, hash {hash_}")
    b = p.batch
    times = f" · accum = {b.B}·{b.T}·{b.accum}" if b.accum > 1 else f" = {b.B}·{b.T}"
    print(f"B·T{times} = {y.size:,} predictions" if newline is None else f"{y.size:,} predictions, one a row")
    width = max(len(f"{offset:,}") for offset in offsets.tolist())
    for offset, given, asked in zip(offsets.tolist(), x_text, y_text, strict=True):
        print(f"{offset:>{width},}  x  {_one_line(given)}")
        print(f"{'':>{width}}  y  {_one_line(asked)}")
    return 0


def function_of(where: Where, *, tokens: int) -> Rows:
    """The row function that holds there, on a training split of so many tokens."""
    p = where.preset
    return Rows(
        tokens=tokens,
        T=p.batch.T,
        seed=p.seed,
        order=p.data.order,
        stride=p.data.stride,
        windows=p.data.layout == "windows",
        base=where.base,
    )


def _one_line(text: str) -> str:
    return visible(text.replace("\n", "↵").replace("\t", "→"), keep="")


def _where(source: str, sets: list[str], step: int, runs: str | None) -> Where:
    folder = directory.runs_folder(runs)
    try:
        loaded = presets.load(source, sets=sets)
    except presets.PresetError:
        if source in presets.shipped() or source.endswith(".toml"):
            raise
        if sets:
            raise UsageError("--set goes with a preset; a run's settings are what they were") from None
        return _of_run(directory.find(folder, source), step)
    for note in loaded.notes:
        narrate(note)
    b = loaded.preset.batch
    return Where(loaded.preset, Base(), step * b.B * b.accum)


def _of_run(run: Path, step: int) -> Where:
    """Records that are there say what they read; later ones follow from the last settings."""
    preset, base = presets.load(str(run / "preset.toml")).preset, Base()
    preset = presets.pin_context(preset)
    for edit in (e for e in read_events(run) if e.get("type") == "edit" and e["step"] <= step):
        preset = presets.apply(preset, {key: new for key, (_, new) in edit["changes"].items()})
        base = Base(**edit["base"])
    reader = StepReader(run)
    if step >= len(reader):
        narrate(f"record {step:,} is still to come ({len(reader):,} are there): its rows, if nothing is edited")
    rows_a_step = preset.batch.B * preset.batch.accum
    if step < len(reader):
        first = int(reader.read(step, step + 1)["rows_before"][0])
    elif len(reader):
        last = reader.read(len(reader) - 1)[0]
        used = int(last["rows_before"]) + int(last["B"]) * int(last["accum"]) * int(last["world"])
        first = used + (step - len(reader)) * rows_a_step
    else:
        first = step * rows_a_step
    known = read_json(run / "resolved.json").get("corpus", {}) if (run / "resolved.json").exists() else {}
    return Where(preset, base, first, known.get("fingerprint"))
