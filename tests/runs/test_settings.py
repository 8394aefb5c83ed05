"""Which settings held at a record: against the records that the worker wrote, through edits, resumes and rewinds."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import GPT, MLP, Ran, Train, document

from workbench import preset as presets
from workbench.data.rows import Base, Rows
from workbench.errors import WorkbenchError
from workbench.runs import settings
from workbench.runs.records import StepReader

EDITS = [
    {"command": "set", "at": 10, "changes": {"optimizer.lr": 3e-4, "batch.accum": 2}},
    {"command": "set", "at": 20, "changes": {"batch.T": 8, "data.order": "shuffled"}},
    {"command": "set", "at": 30, "changes": {"batch.B": 3}},
]


def check(ran: Ran) -> None:
    """Every record says of itself what is computed for it."""
    for record in ran.records:
        held = settings.at(ran.path, int(record["step"]), events=ran.events, records=StepReader(ran.path))
        b = held.preset.batch
        assert (b.B, b.T, b.accum) == (record["B"], record["T"], record["accum"])
        assert held.first == record["rows_before"]
        assert held == settings.at(ran.path, int(record["step"]))


def test_every_record_of_an_edited_run_is_known_and_so_is_what_comes(train: Train) -> None:
    ran = train(document(GPT), at_start=[*EDITS, {"command": "stop", "at": 35}])
    check(ran)
    assert settings.at(ran.path, 19).base == (0, 0, 0)
    assert settings.at(ran.path, 20).base == (10 * 4 + 10 * 8, 0, 1)
    last = ran.records[-1]
    ahead = settings.at(ran.path, 38)
    assert ahead.first == last["rows_before"] + 6 * (38 - 34)
    assert ahead.preset.optimizer.lr == 3e-4
    assert ahead.fingerprint == ran.of("start")[0]["fingerprint"]
    assert settings.live(ran.events, settings.started(ran.path)) == ahead.preset
    assert settings.live(ran.events[:1], settings.started(ran.path)) == settings.started(ran.path)


def test_a_resume_with_other_settings_and_a_rewind_that_takes_an_edit_back(train: Train, resume: Train) -> None:
    taken_back = [
        {"command": "set", "at": 25, "changes": {"batch.accum": 3}},
        {"command": "rewind", "at": 30},
        {"command": "set", "at": 300, "changes": {"batch.B": 9}},  # expires with its attempt
    ]
    ran = train(document(GPT), at_start=taken_back)
    check(ran)
    assert ran.of("resume")
    assert set(ran.records["accum"].tolist()) == {1}
    changed = resume(ran.path, {"batch.accum": 2, "schedule.steps": 45})
    check(changed)
    assert [settings.at(ran.path, step).preset.batch.accum for step in (39, 40)] == [1, 2]


def test_a_run_without_a_record_reads_from_row_zero(train: Train) -> None:
    ran = train(document(GPT), at_start=[{"command": "stop"}])
    assert len(ran.records) == 0
    held = settings.at(ran.path, 5)
    assert (held.first, held.base) == (5 * 4, (0, 0, 0))


@pytest.mark.parametrize("base", [GPT, MLP], ids=["stream", "windows"])
def test_the_row_function_of_a_preset_has_all_its_settings(base: dict[str, Any]) -> None:
    preset = presets.from_document(document(base, data__order="shuffled", data__stride=3, seed=9), source="test")
    assert Rows.of(preset, tokens=900, base=settings.Base(7, 0, 2)) == Rows(
        tokens=900, T=preset.batch.T, seed=9, order="shuffled", stride=3, windows=base is MLP, base=Base(7, 0, 2)
    )  # fmt: skip


RESOLVED = {
    "format": 1, "precision": "fp32", "attention": "sdpa", "compile": False, "device": "cpu", "threads": 1,
    "steps": "by hand", "tuned": True, "compile_from": 10,
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [("steps", "by magic"), ("steps", None), ("steps", ["eager"]), ("tuned", "yes"), ("tuned", 1), ("tuned", None),
     ("attention", "flash"), ("attention", None), ("precision", "fp16"), ("threads", 0),
     ("compile_from", -1), ("compile_from", 1.5), ("compile_from", True), ("compile_from", None)],
)  # fmt: skip
def test_a_choice_that_no_worker_makes_is_told(tmp_path: Path, key: str, value: Any) -> None:
    path = tmp_path / "resolved.json"
    path.write_text(json.dumps(RESOLVED))
    assert settings.resolved(tmp_path) == RESOLVED
    path.write_text(json.dumps(RESOLVED | {key: value}))
    with pytest.raises(WorkbenchError, match=rf"resolved\.json: {key} holds what no worker writes"):
        settings.resolved(tmp_path)


def test_an_earlier_version_said_nothing_of_steps_or_of_tuning(tmp_path: Path) -> None:
    known = {key: value for key, value in RESOLVED.items() if key not in ("steps", "tuned")}
    (tmp_path / "resolved.json").write_text(json.dumps(known))
    assert settings.resolved(tmp_path) == known
