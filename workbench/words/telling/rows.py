"""`workbench rows`: the exact x and y of record N of a preset or a run, computed, not asked for."""

from pathlib import Path

from workbench import preset as presets
from workbench.data.batches import batch, fingerprint
from workbench.data.corpus import open_corpus
from workbench.data.rows import Rows
from workbench.data.visible import visible
from workbench.errors import DataError, UsageError
from workbench.headless.lines import Preparing, narrate
from workbench.runs import FORMAT, directory, settings
from workbench.runs.files import dump
from workbench.runs.records import StepReader


def tell(source: str, *, sets: list[str], step: int, runs: str | None, json: bool) -> int:
    """Print the rows of record `step`. A preset's name wins over a run's."""
    if step < 0:
        raise UsageError(f"--step {step}: records are counted from 0")
    held = _held(source, sets, step, runs)
    p = held.preset
    with Preparing(silent=json) as preparing:
        corpus = open_corpus(p.data, progress=preparing)
    if held.fingerprint and held.fingerprint != corpus.fingerprint:
        raise DataError("the corpus has changed since the run began, so these would be other rows")
    newline = corpus.newline if p.data.layout == "windows" else None
    train = corpus.splits["train"]
    function = Rows.of(p, tokens=train.n, base=held.base)
    offsets = function.offsets(held.first, p.batch.B * p.batch.accum)
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
    narrate(f"record {step:,} of {source}: rows {held.first:,} to {held.first + len(x) - 1:,}, hash {hash_}")
    b = p.batch
    times = f" · accum = {b.B}·{b.T}·{b.accum}" if b.accum > 1 else f" = {b.B}·{b.T}"
    print(f"B·T{times} = {y.size:,} predictions" if newline is None else f"{y.size:,} predictions, one a row")
    width = max(len(f"{offset:,}") for offset in offsets.tolist())
    for offset, given, asked in zip(offsets.tolist(), x_text, y_text, strict=True):
        print(f"{offset:>{width},}  x  {_one_line(given)}")
        print(f"{'':>{width}}  y  {_one_line(asked)}")
    return 0


def _one_line(text: str) -> str:
    return visible(text.replace("\n", "↵").replace("\t", "→"), keep="")


def _held(source: str, sets: list[str], step: int, runs: str | None) -> settings.Held:
    folder = directory.runs_folder(runs)
    try:
        loaded = presets.load(source, sets=sets)
    except presets.PresetError:
        if source in presets.shipped() or source.endswith(".toml") or source == "-":
            raise
        if sets:
            raise UsageError("--set goes with a preset; a run's settings are what they were") from None
        return _of_run(directory.find(folder, source), step)
    for note in loaded.notes:
        narrate(note)
    b = loaded.preset.batch
    return settings.Held(loaded.preset, step * b.B * b.accum)


def _of_run(run: Path, step: int) -> settings.Held:
    records = StepReader(run)
    if step >= len(records):
        narrate(f"record {step:,} is still to come ({len(records):,} are there): its rows, if nothing is edited")
    return settings.at(run, step, records=records)
