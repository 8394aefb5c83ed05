"""Edits of a preset: live keys, pins, changes, and TOML there and back."""

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import preset as presets
from workbench.preset import KEYS, Preset, PresetError, apply, changes, from_document, get

MLP = {"model.kind": "mlp", "data.layout": "windows"}


def preset(**tables: Any) -> Preset:
    return from_document(tables, source="here")


def test_the_live_keys_are_those_of_the_design() -> None:
    assert {name for name, key in KEYS.items() if key.live} == {
        *("optimizer.lr", "optimizer.clip", "optimizer.weight_decay", "schedule.min_lr", "schedule.steps"),
        *("batch.B", "batch.T", "batch.accum", "data.order"),
        *("eval.every", "checkpoint.every", "sample.every"),
        *("sample.prompt", "sample.tokens", "sample.temperature", "sample.top_k", "sample.seed"),
    }
    assert presets.live_key("optimizer.lr")
    assert not presets.live_key("model.width")


def test_the_table_of_keys_is_complete_and_documented() -> None:
    everything = Preset().model_dump()
    names = [
        f"{table}.{leaf}" if isinstance(inner, dict) else table
        for table, inner in everything.items()
        for leaf in (inner if isinstance(inner, dict) else [""])
    ]
    assert list(KEYS) == names
    assert all(key.doc and key.expected.startswith("expected ") for key in KEYS.values())


def test_an_unknown_key_is_refused_everywhere() -> None:
    for ask in (
        lambda: get(preset(), "optimizer.lrr"),
        lambda: presets.live_key("optimizer.lrr"),
        lambda: apply(preset(), {"optimizer.lrr": 1}),
    ):
        with pytest.raises(PresetError, match=r"did you mean optimizer\.lr\?"):
            ask()


def test_an_edit_is_checked_with_all_the_rest_and_changes_nothing_else() -> None:
    before = preset()
    after = apply(before, {"optimizer.lr": 3e-4, "batch.B": 8})
    assert changes(before, after) == {"batch.B": (64, 8), "optimizer.lr": (1e-3, 3e-4)}
    assert before == preset()
    with pytest.raises(PresetError, match=r"set: optimizer.lr = 1e-05: expected at least schedule.min_lr"):
        apply(before, {"optimizer.lr": 1e-5})
    with pytest.raises(PresetError, match=r"edit 3: schedule.steps = 'x'"):
        apply(before, {"schedule.steps": "x"}, source="edit 3")


def test_a_pinned_context_bounds_later_edits_of_T() -> None:
    started = preset()
    assert apply(started, {"batch.T": 128}).batch.T == 128
    pinned = presets.pin_context(started)
    assert pinned.model.context == 64
    shorter = apply(pinned, {"batch.T": 32})
    assert apply(shorter, {"batch.T": 64}).batch.T == 64
    with pytest.raises(PresetError, match=r"batch.T = 65: expected at most model.context = 64"):
        apply(shorter, {"batch.T": 65})
    assert presets.pin_context(shorter) == shorter


def test_a_pin_holds_where_the_document_has_no_context() -> None:
    bigram = presets.pin_context(preset(model={"kind": "bigram"}))
    shorter = apply(bigram, {"batch.T": 32, "optimizer.lr": 0.5})
    with pytest.raises(PresetError, match=r"at most model.context = 64"):
        apply(shorter, {"batch.T": 65})
    mlp = presets.pin_context(apply(preset(), {**MLP, "batch.T": 3}))
    assert apply(mlp, {"batch.B": 8}).batch.B == 8
    with pytest.raises(PresetError, match=r"batch.T = 2: expected 3: an mlp reads exactly the T"):
        apply(mlp, {"batch.T": 2})


def test_a_kind_edit_takes_the_new_kinds_keys_and_defaults() -> None:
    sgd = preset(optimizer={"kind": "sgd"})
    assert apply(sgd, {"optimizer.kind": "muon"}).optimizer.momentum == 0.95
    chosen = preset(optimizer={"kind": "sgd", "momentum": 0.5})
    assert apply(chosen, {"optimizer.kind": "muon"}).optimizer.momentum == 0.5
    mlp = apply(preset(model={"layers": 9}), MLP)
    assert mlp == preset(model={"kind": "mlp"}, data={"layout": "windows"})


def test_an_edit_of_the_corpus_replaces_the_other_kind_of_corpus() -> None:
    typed = apply(preset(), {"data.text": "To be"})
    assert (typed.data.text, typed.data.dataset) == ("To be", "")
    assert apply(typed, {"data.dataset": "markov"}).data == preset(data={"dataset": "markov"}).data


def test_presets_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        preset().batch.B = 3  # type: ignore[misc]


# --------------------------------------------------------------------------------- there and back


def numbers(low: float, high: float, **more: Any) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_infinity=False, **more)


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Any document that is right, with any of its keys left out."""
    kind = draw(st.sampled_from(["gpt", "mlp", "bigram"]))
    optimizer = draw(st.sampled_from(["adamw", "sgd", "muon"]))
    schedule = draw(st.sampled_from(["cosine", "constant", "step", "wsd"]))
    T, heads, steps = draw(st.integers(1, 2**20)), draw(st.integers(1, 16)), draw(st.integers(1, 10**12))
    lr = draw(numbers(0, 10**6))
    data: dict[str, Any] = {
        "tokenizer": draw(st.sampled_from(["char", "byte", "gpt2", "bpe:256", "bpe:65536"])),
        "split": draw(st.sampled_from(["tail", "lines"])),
        "val_fraction": draw(numbers(0, 0.49)),
        "layout": "windows" if kind == "mlp" else draw(st.sampled_from(["stream", "windows"])),
        "order": draw(st.sampled_from(["random", "sequential", "shuffled"])),
        "stride": draw(st.integers(0, 2**20)),
        draw(st.sampled_from(["text", "dataset"])): draw(TEXT.filter(lambda text: "\0" not in text)),
    }
    beta = numbers(0, 1, exclude_max=True)
    own: dict[str, dict[str, Any]] = {
        "gpt": {"layers": 3, "heads": heads, "width": heads * 4, "context": T, "bias": True, "dropout": 0.5},
        "mlp": {"embedding": 3, "hidden": 7, "norm": "batch"},
        "adamw": {"betas": [draw(beta), draw(beta)]},
        "sgd": {"momentum": draw(beta)},
        "muon": {"betas": [draw(beta), 0], "momentum": draw(beta)},
        "step": {
            "milestones": sorted(draw(st.sets(st.integers(1, steps), max_size=4))),
            "gamma": draw(numbers(0, 1, exclude_min=True)),
        },
        "wsd": {"decay_fraction": draw(numbers(0, 1, exclude_min=True))},
    }
    document: dict[str, Any] = {
        "format": 1,
        "name": draw(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")),
        "seed": draw(st.integers(0, 2**63 - 1)),
        "data": data,
        "batch": {"B": draw(st.integers(2, 2**20)), "T": T, "accum": draw(st.integers(1, 2**20))},
        "model": {"kind": kind, **own.get(kind, {})},
        "optimizer": {
            "kind": optimizer,
            "lr": lr,
            "weight_decay": draw(numbers(0, 1)),
            "clip": draw(numbers(0, 10)),
            **own[optimizer],
        },
        "schedule": {
            "kind": schedule,
            "steps": steps,
            "warmup": draw(st.integers(0, steps)),
            "min_lr": draw(numbers(0, lr)),
            **own.get(schedule, {}),
        },
        "sample": {"prompt": draw(TEXT), "temperature": draw(numbers(0, 5)), "seed": 2**63 - 1},
        "device": {"name": draw(st.sampled_from(["auto", "cpu", "mps", "cuda", "cuda:12"])), "compile": "off"},
    }
    for name in draw(st.sets(st.sampled_from(["format", "name", "seed", "sample", "device"]))):
        del document[name]
    return document


@settings(max_examples=150, deadline=None)
@given(documents())
def test_a_preset_written_and_read_again_is_the_same(document: dict[str, Any]) -> None:
    first = from_document(document, source="here")
    text = presets.to_toml(first)
    assert from_document(tomllib.loads(text), source="there") == first
    assert tomllib.loads(text) == presets.to_document(first)


@settings(max_examples=100, deadline=None)
@given(documents(), documents())
def test_changes_applied_to_the_first_preset_give_the_second(one: dict[str, Any], other: dict[str, Any]) -> None:
    # The same optimizer kind: a momentum left at the old kind's default would take the new one's.
    other["optimizer"] = one["optimizer"]
    other["schedule"]["min_lr"] = min(other["schedule"]["min_lr"], one["optimizer"]["lr"])
    a, b = from_document(one, source="a"), from_document(other, source="b")
    if b.data.dataset:  # an edit's relative path is the working directory's
        b = b.model_copy(update={"data": b.data.model_copy(update={"dataset": "markov"})})
    if a.model.kind == "gpt" == b.model.kind and a.model.context and not b.model.context:
        return
    assert apply(a, {key: new for key, (_, new) in changes(a, b).items()}) == b
