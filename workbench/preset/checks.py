"""From a TOML document to a checked preset: which keys exist, which belong to this kind, which values fit."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from workbench.preset.errors import NOTHING, PresetError, Problem, bare, line, nearest, show
from workbench.preset.tables import BARE, FORMAT, KEYS, TABLES, Preset


def validated(
    document: dict[str, Any],
    told_by: Callable[[Problem], str],
    *,
    known: Sequence[Problem] = (),
    refused: Sequence[str] = (),
    pinned: int = 0,
) -> Preset:
    """The checked preset, its `model.context` set to `pinned` where that is not 0.

    Raises PresetError with the lines `refused`, then one line for each problem, `known` ones included;
    `told_by` says where a problem comes from.
    """
    version = document.get("format", FORMAT)
    if type(version) is int and version > FORMAT:
        what = f"written by a newer workbench; this one reads format {FORMAT}: upgrade it to use this preset"
        raise PresetError([line(told_by(Problem("format", what)), "format", what, value=version)])

    wrong = {tuple(problem.key.split(".")): problem for problem in (*known, *of_another_kind(document))}
    data = document.get("data")
    if isinstance(data, dict) and data.get("text") == "":
        wrong["data", "text"] = Problem("data.text", KEYS["data.text"].expected, value="")
    preset, failures = _attempt(document)
    wrong = {**failures, **wrong}
    if preset is None:
        # What fits together is checked all the same, with defaults in the place of what is wrong in itself.
        preset, rest = _attempt(_without(document, wrong))
        if preset is None:
            raise AssertionError(f"a preset without its wrong keys is still wrong: {rest}")
    if pinned:
        preset = preset.model_copy(update={"model": preset.model.model_copy(update={"context": pinned})})
    problems = list(wrong.values())
    told = {problem.key for problem in problems}
    for problem in misfits(preset):
        table, _, leaf = problem.key.partition(".")
        if told & {problem.key, table, *problem.others}:
            continue
        if _at(document, (table, leaf)) is NOTHING:
            problem = replace(problem, what=f"the default; {problem.what}")
        problems.append(problem)
    if problems or refused:
        lines = [line(told_by(p), p.key, p.what, value=p.value) for p in problems]
        raise PresetError([*refused, *lines])
    return preset


def _attempt(document: dict[str, Any]) -> tuple[Preset | None, dict[tuple[str, ...], Problem]]:
    """The preset, or what pydantic finds wrong with each key, by the key's path."""
    try:
        return Preset.model_validate(document), {}
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    problems: dict[tuple[str, ...], Problem] = {}
    for failure in found:
        # Deeper than table and key is a place within a list; the whole list is told.
        path = tuple(str(part) for part in failure["loc"][:2])
        if failure["type"] == "extra_forbidden":
            problems[path] = unknown_key(path, _at(document, path))
        elif path[0] in TABLES and len(path) == 1:
            what = f"expected a table: [{path[0]}] on a line of its own, its keys below it"
            problems[path] = Problem(path[0], what, value=_at(document, path))
        else:
            path = path if path[0] in TABLES else path[:1]
            name = ".".join(path)
            problems[path] = Problem(name, KEYS[name].expected, value=_at(document, path))
    return None, problems


def _at(document: dict[str, Any], path: tuple[str, ...]) -> object:
    inner: Any = document
    for part in path:
        if not isinstance(inner, dict) or part not in inner:
            return NOTHING
        inner = inner[part]
    return inner


def _without(document: dict[str, Any], paths: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    kept = copied(document)
    for path in paths:
        inner = kept if len(path) == 1 else kept.get(path[0])
        if isinstance(inner, dict):
            inner.pop(path[-1], None)
    return kept


def copied(document: dict[str, Any]) -> dict[str, Any]:
    """Deep enough to change the keys of tables without changing the caller's."""
    return {key: dict(value) if isinstance(value, dict) else value for key, value in document.items()}


def kind_of(document: dict[str, Any], table: str) -> Any:
    """The kind that `document` names in `table`, else the default one; None where the table has no kinds."""
    key = KEYS.get(f"{table}.kind")
    if key is None:
        return None
    given = document.get(table)
    default = TABLES[table].model_fields["kind"].default
    return given.get("kind", default) if isinstance(given, dict) else default


def unknown_key(path: Sequence[str], value: object = NOTHING) -> Problem:
    """The problem of a table or key that does not exist, naming the nearest one that does.

    `path` is a table or a key at the top, or a table and its key, as the user wrote them.
    """
    if len(path) == 1 and isinstance(value, dict):
        near = nearest(path[0], TABLES, cutoff=0.0)
        return Problem(f"[{bare(path[0])}]", f"no such table; did you mean [{near}]? {_tables()}")
    shown = ".".join(bare(part) for part in path)
    if len(path) > 1 and path[0] not in TABLES:
        near = nearest(path[0], TABLES, cutoff=0.0) or "data"
        leaf = nearest(path[1], TABLES[near].model_fields, cutoff=0.0)
        return Problem(shown, f"no such table; did you mean {near}.{leaf}? {_tables()}", value=value)
    table, leaf = ("", path[0]) if len(path) == 1 else (path[0], path[1])
    return Problem(shown, f"no such key; {_suggestion(table, leaf)}", value=value)


def _tables() -> str:
    return "the tables are " + ", ".join(TABLES)


def _suggestion(table: str, leaf: str) -> str:
    """The nearest real key: the same word in another table, else a likely one here, else anywhere."""
    of_this_table = [key.leaf for key in KEYS.values() if key.table == table]
    elsewhere = [key.name for key in KEYS.values() if key.leaf == leaf]
    if not table and leaf in BARE:
        elsewhere = [BARE[leaf]]
    if len(elsewhere) == 1:
        return f"did you mean {elsewhere[0]}?"
    here = nearest(leaf, of_this_table)
    if here:
        return f"did you mean {table}.{here}?" if table else f"did you mean {here}?"
    far = nearest(leaf, (key.leaf for key in KEYS.values()), cutoff=0.7)
    if far:
        return f"did you mean {next(key.name for key in KEYS.values() if key.leaf == far)}?"
    anyway = nearest(leaf, of_this_table, cutoff=0.0)
    hint = f"the nearest is {table + '.' if table else ''}{anyway}; " if anyway else ""
    where = f"[{table}]" if table else "the top of a preset"
    return f"{hint}{where} has {', '.join(of_this_table)}"


def of_another_kind(document: dict[str, Any]) -> Iterator[Problem]:
    """The document's keys that exist, but not for the kind that it names."""
    for key in KEYS.values():
        given = document.get(key.table)
        if not key.kinds or not isinstance(given, dict) or key.leaf not in given:
            continue
        kind = kind_of(document, key.table)
        if isinstance(kind, str) and kind in KEYS[f"{key.table}.kind"].choices and kind not in key.kinds:
            kinds = f"kind{'s' if len(key.kinds) > 1 else ''} {' and '.join(key.kinds)}"
            what = f"{key.name} belongs to {kinds}; this {key.table} is {kind}"
            yield Problem(key.name, what, (f"{key.table}.kind",), given[key.leaf])


def misfits(preset: Preset) -> Iterator[Problem]:
    """The values of `preset` that are each possible, but not together."""
    for problem in (*_data(preset), *_model(preset), *_schedule(preset)):
        table, _, leaf = problem.key.partition(".")
        value = getattr(getattr(preset, table), leaf)
        yield replace(problem, value=list(value) if isinstance(value, tuple) else value)


def _data(preset: Preset) -> Iterator[Problem]:
    data = preset.data
    if data.text and data.dataset:
        yield Problem(
            "data.text",
            f"data.dataset = {show(data.dataset)} is given too; expected one of the two",
            ("data.dataset",),
        )
    elif not data.text and not data.dataset:
        yield Problem("data.dataset", KEYS["data.dataset"].expected, ("data.text",))
    if data.split == "lines" and data.val_fraction >= 0.5:
        yield Problem(
            "data.val_fraction",
            'expected below 0.5: data.split = "lines" keeps this share twice, for validation and for test',
            ("data.split",),
        )


def _model(preset: Preset) -> Iterator[Problem]:
    model, T = preset.model, preset.batch.T
    if model.kind == "gpt" and model.width % model.heads:
        yield Problem(
            "model.heads",
            f"expected a number that divides model.width = {model.width}: each head gets an equal share",
            ("model.width",),
        )
    if model.kind == "mlp":
        if preset.data.layout != "windows":
            yield Problem(
                "data.layout",
                "expected windows: model.kind is mlp, which reads a fixed context of T tokens to predict one",
                ("model.kind",),
            )
        if model.norm == "batch" and preset.batch.B < 2:
            yield Problem(
                "batch.B",
                "expected at least 2: model.norm is batch, which takes the variance over a micro-batch's rows",
                ("model.norm", "model.kind"),
            )
        if model.context not in (0, T):
            yield Problem(
                "batch.T",
                f"expected {model.context}: an mlp reads exactly the T that it was built for",
                ("model.context", "model.kind"),
            )
    elif model.context and model.context < T:
        yield Problem(
            "batch.T",
            f"expected at most model.context = {model.context}, the longest T that this model can read",
            ("model.context", "model.kind"),
        )


def _schedule(preset: Preset) -> Iterator[Problem]:
    schedule, lr = preset.schedule, preset.optimizer.lr
    if schedule.warmup > schedule.steps:
        yield Problem("schedule.warmup", f"expected at most schedule.steps = {schedule.steps}", ("schedule.steps",))
    if schedule.kind in ("cosine", "wsd") and lr < schedule.min_lr:
        yield Problem(
            "optimizer.lr",
            f"expected at least schedule.min_lr = {schedule.min_lr:g}, where {schedule.kind} ends",
            ("schedule.min_lr", "schedule.kind"),
        )
    if schedule.kind == "step":
        if any(later <= earlier for earlier, later in pairwise(schedule.milestones)):
            yield Problem("schedule.milestones", KEYS["schedule.milestones"].expected)
        elif schedule.milestones and schedule.milestones[-1] > schedule.steps:
            yield Problem(
                "schedule.milestones",
                f"expected none over schedule.steps = {schedule.steps}",
                ("schedule.steps",),
            )
