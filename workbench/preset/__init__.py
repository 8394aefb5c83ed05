"""The preset: typed tables, their checks, overrides, TOML in and out.

This is the one module that other rooms import for it. A preset comes from `load` (a file, a shipped
name or stdin, with what the command line puts over it) or from `from_document`; both tell everything that is wrong
at once, as one PresetError. `KEYS` is the table of all keys: what each means and whether it is live.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from workbench.preset.checks import copied, kind_of, of_another_kind, unknown_key, validated
from workbench.preset.errors import PresetError, Problem, line, printable, show
from workbench.preset.files import NAMED_DATASETS, dataset_path, locate, parse, read, shipped
from workbench.preset.tables import (
    BARE,
    KEYS,
    KIND_KEYS,
    TABLES,
    BatchTable,
    CheckpointTable,
    DataTable,
    DeviceTable,
    EvalTable,
    Key,
    ModelTable,
    OptimizerTable,
    Preset,
    SampleTable,
    ScheduleTable,
)

__all__ = [
    "BARE",
    "KEYS",
    "NAMED_DATASETS",
    "BatchTable",
    "CheckpointTable",
    "DataTable",
    "DeviceTable",
    "EvalTable",
    "Key",
    "Loaded",
    "ModelTable",
    "OptimizerTable",
    "Preset",
    "PresetError",
    "SampleTable",
    "ScheduleTable",
    "apply",
    "changes",
    "find",
    "from_document",
    "get",
    "live_key",
    "load",
    "parse_assignment",
    "pin_context",
    "shipped",
    "to_document",
    "to_toml",
]

Document = dict[str, Any]


@dataclass(frozen=True)
class Loaded:
    """A preset, what to tell about how it came to be, and the file it is from; None for one from stdin."""

    preset: Preset
    notes: list[str]
    path: Path | None


def find(source: str) -> Path:
    """The file that `source` means: a path, else a shipped name. Raises PresetError."""
    return locate(source)[0]


def load(source: str, *, sets: Sequence[str] = (), steps: int | None = None, name: str | None = None) -> Loaded:
    """The preset `source` with `--set` (each "KEY=VALUE"), `--steps` and `--name` over it; `-` is stdin's.

    What had to give way (keys of a kind that `--set` changed, a warmup or milestone that `--steps` cut)
    is told in the notes. Raises PresetError with everything that is wrong.
    """
    path: Path | None = None
    notes: list[str] = []
    if source == "-":
        source = "stdin"
    else:
        path, notes = locate(source)
    document = copied(_with_dataset_path(read(path, source), path.parent if path else Path()))
    # By the file's own kinds: what is wrong before anything is put over it is the file's mistake.
    wrong = [replace(problem, others=()) for problem in of_another_kind(document)]
    over: dict[str, Any] = {}
    origins: dict[str, str] = {}
    refused: list[str] = []
    for text in sets:
        try:
            key, value = parse_assignment(text)
        except PresetError as error:
            refused += error.problems
            continue
        if key == "data.dataset" and isinstance(value, str):
            value = dataset_path(value, Path.cwd())
        over[key], origins[key] = value, "--set"
    if steps is not None:
        over["schedule.steps"], origins["schedule.steps"] = steps, "--steps"
    if name is not None:
        over["name"], origins["name"] = name, "--name"

    notes += _give_way(document, over, source)
    for key, value in over.items():
        _put(document, key, value)
    if steps is not None:
        notes += _cut_to_steps(document, steps)

    def told(problem: Problem) -> str:
        return next((origins[key] for key in (problem.key, *problem.others) if key in origins), source)

    return Loaded(validated(document, told, known=wrong, refused=refused), notes, path)


def from_document(document: Document, *, source: str, folder: Path | None = None) -> Preset:
    """The preset that a parsed TOML document holds; what it leaves out has its default.

    `source` is what errors name; a relative dataset path is taken from `folder`, or left alone without one.
    Raises PresetError with everything that is wrong, one line each.
    """
    if folder is not None:
        document = _with_dataset_path(document, folder)
    return validated(document, lambda problem: source)


def to_document(preset: Preset) -> Document:
    """`preset` as TOML's own types: every key of its kinds, defaults included, and no key of another kind."""
    document: Document = {}
    for key in KEYS.values():
        if not _holds(preset, key):
            continue
        value = get(preset, key.name)
        _put(document, key.name, list(value) if isinstance(value, tuple) else value)
    return document


def to_toml(preset: Preset) -> str:
    """`preset` as the text of a TOML file, from which `from_document` makes an equal one."""
    return tomli_w.dumps(to_document(preset))


def parse_assignment(text: str) -> tuple[str, Any]:
    """The dotted key and the value of "KEY=VALUE", the value not yet checked. Raises PresetError.

    For a string key the value is the text itself, unless it is quoted as in TOML; for any other, TOML.
    `B`, `T`, `accum`, `lr`, `steps`, `seed` and `dataset` need no table.
    """
    given, equals, written = text.partition("=")
    given = given.strip()
    if not equals or not given:
        raise PresetError([line("--set", show(text), "expected KEY=VALUE, as in lr=3e-4")])
    name = BARE.get(given, given)
    if name in TABLES:
        leaf = next(key.leaf for key in KEYS.values() if key.table == name)
        raise PresetError(
            [line("--set", f"[{name}]", f"this is a table; expected one of its keys, as in {name}.{leaf}")]
        )
    if name not in KEYS:
        problem = unknown_key(name.split(".", 1), written)
        raise PresetError([line("--set", problem.key, problem.what, value=problem.value)])
    key = KEYS[name]
    trimmed = written.strip()
    quoted = len(trimmed) > 1 and trimmed[0] in "\"'" and trimmed[-1] == trimmed[0]
    if key.kind_of_value in ("text", "choice") and not quoted:
        return name, written
    try:
        parsed = parse(f"value = {trimmed}")
    except (ValueError, RecursionError):
        parsed = {}
    if set(parsed) != {"value"}:
        what = "expected text, or a whole TOML string in quotes" if quoted else key.expected
        raise PresetError([line("--set", name, what, value=written)])
    return name, parsed["value"]


def apply(preset: Preset, edits: Mapping[str, Any], *, source: str = "set") -> Preset:
    """`preset` with `edits` (dotted key to value), checked again as a whole. Raises PresetError.

    A pinned `model.context` stays. Where a kind changes, keys of the old kind fall away, and keys that were
    at its default take the new kind's; of `data.text` and `data.dataset` the one that is edited holds.
    A relative dataset path is taken from the working directory.
    """
    for name in edits:
        if name not in KEYS:
            problem = unknown_key(name.split(".", 1))
            raise PresetError([line(source, problem.key, problem.what)])
    document = to_document(preset)
    for name in KIND_KEYS:
        table = name.partition(".")[0]
        kind = get(preset, name)
        if edits.get(name, kind) != kind:
            defaults = TABLES[table].model_validate({"kind": kind})
            for key in KEYS.values():
                if key.table == table and key.kinds and get(preset, key.name) == getattr(defaults, key.leaf):
                    document[table].pop(key.leaf, None)
    _give_way(document, edits, source)
    for name, value in edits.items():
        if name == "data.dataset" and isinstance(value, str):
            value = dataset_path(value, Path.cwd())
        _put(document, name, list(value) if isinstance(value, tuple) else value)
    same_model = edits.get("model.kind", preset.model.kind) == preset.model.kind
    pinned = preset.model.context if same_model and not _holds(preset, KEYS["model.context"]) else 0
    return validated(document, lambda problem: source, pinned=pinned)


def pin_context(preset: Preset) -> Preset:
    """`preset` with `model.context` = `batch.T` where it was 0, so that a later edit of T is held to it.

    A worker pins once, when it starts. Only a gpt's document holds the key: for an mlp (which reads exactly
    its T) and a bigram the pin lives in memory, and comes back by pinning the preset that the run began with.
    """
    if preset.model.context:
        return preset
    model = preset.model.model_copy(update={"context": preset.batch.T})
    return preset.model_copy(update={"model": model})


def live_key(key: str) -> bool:
    """Whether a running run can take an edit of this dotted key. Raises PresetError for no such key."""
    return _known(key).live


def get(preset: Preset, key: str) -> Any:
    """The value of a dotted key; one of another kind has its default. Raises PresetError for no such key."""
    known = _known(key)
    return getattr(getattr(preset, known.table) if known.table else preset, known.leaf)


def changes(a: Preset, b: Preset) -> dict[str, tuple[Any, Any]]:
    """What `b` holds otherwise than `a`: dotted key to (value in a, value in b), in the document's order."""
    pairs = {key.name: (get(a, key.name), get(b, key.name)) for key in KEYS.values() if _holds(b, key)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _known(key: str) -> Key:
    if key not in KEYS:
        problem = unknown_key(key.split(".", 1))
        raise PresetError([line("", problem.key, problem.what)])
    return KEYS[key]


def _holds(preset: Preset, key: Key) -> bool:
    """Whether the document of `preset` has this key."""
    if key.name == "data.text":
        return bool(preset.data.text)
    if key.name == "data.dataset":
        return not preset.data.text
    return not key.kinds or get(preset, f"{key.table}.kind") in key.kinds


def _put(document: Document, name: str, value: Any) -> None:
    table, _, leaf = name.rpartition(".")
    if not table:
        document[leaf] = value
    else:
        # Where the file has something else of that name, its own error is told.
        inner = document.setdefault(table, {})
        if isinstance(inner, dict):
            inner[leaf] = value


def _with_dataset_path(document: Document, folder: Path) -> Document:
    data = document.get("data")
    if isinstance(data, dict) and isinstance(data.get("dataset"), str):
        dataset = dataset_path(data["dataset"], Path(os.path.abspath(folder)))
        return {**document, "data": {**data, "dataset": dataset}}
    return document


def _give_way(document: Document, over: Mapping[str, Any], source: str) -> list[str]:
    """Take out of `document` what `over` rules out: keys of a kind that it changes, and the other corpus."""
    notes = []
    for name in KIND_KEYS:
        table = name.partition(".")[0]
        kind = over.get(name)
        given = document.get(table)
        if kind not in KEYS[name].choices or kind == kind_of(document, table) or not isinstance(given, dict):
            continue
        gone = [
            key.leaf
            for key in KEYS.values()
            if key.table == table and key.kinds and kind not in key.kinds and key.leaf in given
        ]
        for leaf in gone:
            del given[leaf]
        if gone:
            dropped = ", ".join(f"{table}.{leaf}" for leaf in gone)
            notes.append(f"{name}={kind}: dropped {dropped} of {printable(source)}, which {kind} does not have")
    data = document.get("data")
    for this, other in (("text", "dataset"), ("dataset", "text")):
        if f"data.{this}" in over and f"data.{other}" not in over and isinstance(data, dict) and other in data:
            gone_value = data.pop(other)
            notes.append(f"data.{this}: replaces data.{other} = {show(gone_value)} of {printable(source)}")
    return notes


def _cut_to_steps(document: Document, steps: int) -> list[str]:
    """Cut a warmup and milestones that do not fit `steps`; what to tell about it."""
    schedule = document.get("schedule")
    if steps < 1 or not isinstance(schedule, dict):
        return []
    notes = []
    warmup = schedule.get("warmup", TABLES["schedule"].model_fields["warmup"].default)
    if type(warmup) is int and warmup > steps:
        schedule["warmup"] = steps
        notes.append(f"schedule.warmup = {show(warmup)} does not fit --steps {steps}: cut to {steps}")
    milestones = schedule.get("milestones")
    if isinstance(milestones, list) and all(type(m) is int for m in milestones) and max(milestones, default=0) > steps:
        # Two that are cut to the same step are one; at the last step none acts any more.
        schedule["milestones"] = [m for m in milestones if m < steps] + [steps]
        notes.append(
            f"schedule.milestones = {show(milestones)} does not fit --steps {steps}: "
            f"cut to {show(schedule['milestones'])}"
        )
    return notes
