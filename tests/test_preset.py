"""The preset as a document: its defaults, every refusal, and what importing it costs."""

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import preset as presets
from workbench.errors import UsageError
from workbench.preset import KEYS, Preset, PresetError, from_document

DEFAULTS: dict[str, Any] = {
    "format": 1,
    "name": "char",
    "seed": 1337,
    "data": {
        "dataset": "python-docs",
        "tokenizer": "char",
        "split": "tail",
        "val_fraction": 0.1,
        "layout": "stream",
        "order": "random",
        "stride": 0,
    },
    "batch": {"B": 64, "T": 64, "accum": 1},
    "model": {
        "kind": "gpt",
        "layers": 4,
        "heads": 4,
        "width": 128,
        "context": 0,
        "bias": False,
        "dropout": 0.0,
    },
    "optimizer": {"kind": "adamw", "lr": 1e-3, "betas": [0.9, 0.99], "weight_decay": 0.1, "clip": 1.0},
    "schedule": {"kind": "cosine", "steps": 5000, "warmup": 100, "min_lr": 1e-4},
    "eval": {"every": 250, "tokens": 0, "target": 0.0},
    "checkpoint": {"every": 500},
    "sample": {"every": 500, "prompt": "\n", "tokens": 200, "temperature": 0.8, "top_k": 0, "seed": 1},
    "device": {"name": "auto", "precision": "auto", "compile": "auto", "threads": 0},
}


def preset(**tables: Any) -> Preset:
    return from_document(tables, source="here")


def refusals(document: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(PresetError) as refused:
        from_document(document, source="here.toml")
    assert str(refused.value) == "\n".join(refused.value.problems)
    return refused.value.problems


def test_an_empty_document_has_the_defaults_of_the_design() -> None:
    assert presets.to_document(preset()) == DEFAULTS


@pytest.mark.parametrize(
    ("table", "kind", "keys"),
    [
        ("model", "mlp", {"embedding": 10, "hidden": 200, "norm": "none"}),
        ("model", "bigram", {}),
        (
            "optimizer",
            "sgd",
            {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.1, "clip": 1.0},
        ),
        (
            "optimizer",
            "muon",
            {"lr": 1e-3, "betas": [0.9, 0.99], "momentum": 0.95, "weight_decay": 0.1, "clip": 1.0},
        ),
        ("schedule", "constant", {"steps": 5000, "warmup": 100, "min_lr": 1e-4}),
        ("schedule", "step", {"steps": 5000, "warmup": 100, "min_lr": 1e-4, "milestones": [], "gamma": 0.1}),
        ("schedule", "wsd", {"steps": 5000, "warmup": 100, "min_lr": 1e-4, "decay_fraction": 0.2}),
    ],
)
def test_each_kind_has_its_own_keys_and_defaults(table: str, kind: str, keys: dict[str, Any]) -> None:
    document: dict[str, Any] = {table: {"kind": kind}}
    if kind == "mlp":
        document["data"] = {"layout": "windows"}
    assert presets.to_document(preset(**document))[table] == {"kind": kind, **keys}


def test_whole_numbers_stand_for_numbers_and_stay_exact() -> None:
    lr = preset(optimizer={"lr": 1}).optimizer.lr
    assert (lr, type(lr)) == (1.0, float)


def test_a_text_replaces_the_default_dataset() -> None:
    data = preset(data={"text": "To be"}).data
    assert (data.text, data.dataset) == ("To be", "")
    assert "dataset" not in presets.to_document(preset(data={"text": "To be"}))["data"]


def test_the_callers_document_is_not_changed(tmp_path: Path) -> None:
    document = {"data": {"dataset": "./x.txt"}}
    from_document(document, source="here", folder=tmp_path)
    assert document == {"data": {"dataset": "./x.txt"}}


# ---------------------------------------------------------------------------------------- refusals

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"batch": {"B": 0}}, "batch.B = 0: expected a whole number from 1 to 1,048,576"),
        ({"batch": {"T": 64.0}}, "batch.T = 64.0: expected a whole number"),
        ({"batch": {"accum": True}}, "batch.accum = true: expected a whole number"),
        ({"batch": {"B": 10**5000}}, "batch.B = a very long number: expected a whole number"),
        ({"seed": "1"}, "seed = '1': expected a whole number from 0 to 2^63 - 1"),
        ({"seed": 2**63}, "seed = 9223372036854775808: expected"),
        ({"seed": -1}, "seed = -1: expected"),
        ({"optimizer": {"lr": -1.0}}, "optimizer.lr = -1.0: expected a number from 0"),
        ({"optimizer": {"lr": INF}}, "optimizer.lr = inf: expected a number"),
        ({"optimizer": {"lr": NAN}}, "optimizer.lr = nan: expected a number"),
        ({"optimizer": {"lr": 10**400}}, "optimizer.lr = 1000"),
        ({"optimizer": {"lr": False}}, "optimizer.lr = false: expected a number"),
        ({"optimizer": {"clip": -0.1}}, "optimizer.clip = -0.1: expected a number"),
        ({"optimizer": {"betas": [0.9]}}, "optimizer.betas = [0.9]: expected two numbers"),
        ({"optimizer": {"betas": [0.9, 1.0]}}, "optimizer.betas = [0.9, 1.0]: expected two numbers"),
        ({"optimizer": {"betas": [0.9, INF]}}, "optimizer.betas = [0.9, inf]: expected two numbers"),
        ({"optimizer": {"kind": "adam"}}, "optimizer.kind = 'adam': expected adamw, sgd or muon"),
        ({"model": {"heads": 3}}, "model.heads = 3: expected a number that divides model.width = 128"),
        ({"model": {"context": 32}}, "batch.T = 64: the default; expected at most model.context = 32"),
        ({"model": {"layers": 1001}}, "model.layers = 1001: expected a whole number from 1 to 1,000"),
        ({"model": {"width": 65540}}, "model.width = 65540: expected"),
        ({"model": {"dropout": 1.0}}, "model.dropout = 1.0: expected a number of at least 0 and below 1"),
        ({"model": {"bias": 1}}, "model.bias = 1: expected true or false"),
        ({"model": {"kind": "mlp"}}, "data.layout = 'stream': the default; expected windows"),
        (
            {"model": {"hidden": 9}},
            "model.hidden = 9: model.hidden belongs to kind mlp; this model is gpt",
        ),
        (
            {"optimizer": {"momentum": 0.9}},
            "optimizer.momentum belongs to kinds sgd and muon; this optimizer is adamw",
        ),
        ({"schedule": {"gamma": 0.5}}, "schedule.gamma belongs to kind step; this schedule is cosine"),
        ({"schedule": {"steps": 50}}, "schedule.warmup = 100: the default; expected at most schedule.steps = 50"),
        ({"schedule": {"warmup": 9999}}, "schedule.warmup = 9999: expected at most schedule.steps = 5000"),
        ({"schedule": {"steps": 0}}, "schedule.steps = 0: expected a whole number from 1"),
        ({"schedule": {"steps": 10**12 + 1}}, "schedule.steps = 1000000000001: expected"),
        ({"optimizer": {"lr": 1e-5}}, "optimizer.lr = 1e-05: expected at least schedule.min_lr = 0.0001"),
        (
            {"schedule": {"kind": "wsd", "min_lr": 0.1}},
            "optimizer.lr = 0.001: the default; expected at least schedule.min_lr = 0.1, where wsd ends",
        ),
        (
            {"schedule": {"kind": "step", "milestones": [5, 5]}},
            "schedule.milestones = [5, 5]: expected a list of rising whole numbers",
        ),
        (
            {"schedule": {"kind": "step", "milestones": [0]}},
            "schedule.milestones = [0]: expected a list of rising whole numbers",
        ),
        (
            {"schedule": {"kind": "step", "milestones": [9000]}},
            "schedule.milestones = [9000]: expected none over schedule.steps = 5000",
        ),
        ({"data": {"text": ""}}, "data.text = '': expected a text of at least one character"),
        ({"data": {"dataset": ""}}, "data.dataset = '': expected the name of a dataset"),
        ({"data": {"dataset": "a\0b"}}, "data.dataset = 'a\\x00b': expected"),
        ({"data": {"text": "a", "dataset": "b"}}, "data.text = 'a': data.dataset = 'b' is given too"),
        ({"data": {"text": "\udc80"}}, "data.text = '\\udc80': expected a text"),
        ({"data": {"val_fraction": 1.0}}, "data.val_fraction = 1.0: expected a number of at least 0"),
        ({"data": {"split": "lines", "val_fraction": 0.5}}, "data.val_fraction = 0.5: expected below 0.5"),
        ({"data": {"tokenizer": ""}}, "data.tokenizer = '': expected char, byte, bpe:N"),
        ({"data": {"tokenizer": "bpe:255"}}, "data.tokenizer = 'bpe:255': expected"),
        ({"data": {"tokenizer": "bpe:65537"}}, "data.tokenizer = 'bpe:65537': expected"),
        ({"data": {"tokenizer": "bpe"}}, "data.tokenizer = 'bpe': expected"),
        ({"data": {"tokenizer": "bpe:x"}}, "data.tokenizer = 'bpe:x': expected"),
        ({"sample": {"temperature": -1}}, "sample.temperature = -1: expected a number from 0"),
        ({"sample": {"tokens": 100_001}}, "sample.tokens = 100001: expected"),
        ({"sample": {"prompt": ""}}, "sample.prompt = '': expected a text of at least one character"),
        ({"eval": {"every": -1}}, "eval.every = -1: expected a whole number from 0"),
        ({"device": {"name": "gpu"}}, "device.name = 'gpu': expected auto, cuda, cuda:N"),
        ({"device": {"name": "cuda:1\n"}}, "device.name = 'cuda:1\\n': expected"),
        ({"name": "a/b"}, "name = 'a/b': expected up to 64 letters"),
        ({"name": ".hidden"}, "name = '.hidden': expected"),
        ({"name": "a" * 65}, "name = 'aaaa"),
        ({"name": "\x1b[31m"}, "name = '\\x1b[31m': expected"),
        ({"format": 0}, "format = 0: expected 1"),
        ({"format": "1"}, "format = '1': expected 1"),
        ({"data": 3}, "data = 3: expected a table: [data]"),
        ({"data": [{"text": "a"}]}, "data = [{'text': 'a'}]: expected a table: [data]"),
        ({"seed": {"a": 1}}, "seed = {'a': 1}: expected a whole number"),
    ],
)
def test_one_mistake_gets_one_line_with_file_key_value_and_expectation(document: dict[str, Any], told: str) -> None:
    problems = refusals(document)
    assert len(problems) == 1
    assert problems[0].startswith("here.toml: ")
    assert told in problems[0]


@pytest.mark.parametrize(
    ("document", "nearest"),
    [
        ({"data": {"tokeniser": "char"}}, "did you mean data.tokenizer?"),
        ({"schedule": {"warmpu": 10}}, "did you mean schedule.warmup?"),
        ({"model": {"lr": 0.1}}, "did you mean optimizer.lr?"),
        ({"lr": 0.1}, "did you mean optimizer.lr?"),
        ({"B": 4}, "did you mean batch.B?"),
        ({"batch": {"b": 4}}, "did you mean batch.B?"),
        ({"sead": 4}, "did you mean seed?"),
        ({"optimiser": {"lr": 0.1}}, "did you mean [optimizer]?"),
        ({"checkpoints": {"every": 1}}, "did you mean [checkpoint]?"),
        ({"batch": {"zzzz": 1}}, "[batch] has B, T, accum"),
        ({"model": {"a\x1bb": 1}}, "model.'a\\x1bb' = 1: no such key"),
    ],
)
def test_an_unknown_table_or_key_names_the_nearest_real_one(document: dict[str, Any], nearest: str) -> None:
    problems = refusals(document)
    assert len(problems) == 1
    assert nearest in problems[0]


def test_all_mistakes_are_told_at_once_one_line_each() -> None:
    problems = refusals(
        {
            "zeed": 1,
            "data": {"order": "up", "text": 3},
            "batch": {"B": 0, "C": 1},
            "model": {"hidden": 3, "heads": 5},
            "optimizer": {"lr": -1, "betas": [2, 3]},
            "schedule": {"warmup": 9000},
        }
    )
    keys = ["zeed", "data.order", "data.text", "batch.B", "batch.C", "model.hidden", "model.heads"]
    keys += ["optimizer.lr", "optimizer.betas", "schedule.warmup"]
    assert sorted(line.split(": ")[1].split(" = ")[0] for line in problems) == sorted(keys)


def test_a_wrong_value_brings_no_second_complaint_about_what_depends_on_it() -> None:
    assert len(refusals({"model": {"width": -3, "heads": 5}})) == 1


def test_keys_of_an_unknown_kind_are_not_held_against_it() -> None:
    assert [line.split(" = ")[0] for line in refusals({"model": {"kind": "mpl", "hidden": 3}})] == [
        "here.toml: model.kind"
    ]


def test_a_newer_format_is_told_as_that_alone() -> None:
    (line,) = refusals({"format": 2, "novelty": {"x": 1}, "batch": {"B": 0}})
    assert "format = 2: written by a newer workbench" in line


def test_long_values_are_cut_and_control_characters_escaped() -> None:
    (line,) = refusals({"data": {"order": "\x1b]0;" + "x" * 10_000}})
    assert "\x1b" not in line
    assert len(line) < 160


def test_a_preset_error_is_bad_usage() -> None:
    with pytest.raises(UsageError) as refused:
        from_document({"x": 1}, source="x")
    assert refused.value.exit_code == 2


# ---------------------------------------------------------------------------------------- anything


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.datetimes(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(sorted({*(key.leaf for key in KEYS.values()), "batch", "model", "odd", ""})),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_document_is_answered_with_anything_but_a_preset_or_its_errors(document: Any) -> None:
    if not isinstance(document, dict):
        document = {"model": document, "schedule": {"milestones": document, "kind": document}}
    with contextlib.suppress(PresetError):
        assert presets.to_document(from_document(document, source="x"))
        return
    with pytest.raises(PresetError) as refused:
        from_document(document, source="x")
    problems = refused.value.problems
    assert problems
    assert all(line.isprintable() for line in problems)


def test_the_command_line_can_name_presets_without_loading_pydantic() -> None:
    code = "import sys, workbench, workbench.errors; print('pydantic' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


def test_the_preset_loads_no_other_room() -> None:
    code = (
        "import sys, workbench.preset; "
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('torch', 'numpy', 'textual') "
        "or m.startswith('workbench.') and not m.startswith(('workbench.preset', 'workbench.errors'))))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
