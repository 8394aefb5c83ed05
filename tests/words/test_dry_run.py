"""`--dry-run`, called in this process."""

from pathlib import Path
from typing import Any

import pytest
from tiny_runs import GPT, MLP, TEXT, Train, document
from told import Capture, the_object

from workbench import preset as presets
from workbench.errors import UsageError
from workbench.headless.lines import Preparing
from workbench.plan.parameters import itemise, total
from workbench.words.telling import dry_run


@pytest.mark.parametrize("base", [GPT, MLP], ids=["gpt", "mlp"])
def test_a_dry_run_is_what_the_run_then_says(
    train: Train, tmp_path: Path, base: dict[str, Any], capsys: Capture
) -> None:
    doc = document(base, batch__accum=3)
    preset = presets.from_document(doc, source="test")
    assert dry_run.tell(preset, json=True, progress=Preparing(silent=True)) == 0
    told = the_object(capsys)
    assert not (tmp_path / "runs").exists()
    (start,) = train(doc).of("start")
    same = ("params", "vocab", "train_tokens", "val_tokens", "tokens_per_step", "steps_per_epoch", "fingerprint")
    assert {key: told[key] for key in same} == {key: start[key] for key in same}
    assert sum(told["parameters"].values()) == told["params"]
    assert sum(told["memory"].values()) == told["memory_bytes"] > 4 * told["params"]
    assert presets.from_document(told["preset"], source="test") == preset


def test_a_dry_run_in_text(capsys: Capture) -> None:
    preset = presets.from_document(document(GPT, batch__accum=2), source="test")
    dry_run.tell(preset, json=False, progress=Preparing(silent=True))
    out = capsys.readouterr().out
    items = itemise(preset.model, len(set(TEXT)), 16)
    lines = [line.strip() for line in out.splitlines()]
    for name, count in [("parameters", total(items)), *((item.name, item.count) for item in items)]:
        assert any(line.startswith(name) and line.endswith(f" {count:,}") for line in lines), name
    assert "tokens a step   128 = B 4 · T 16 · accum 2" in out
    assert "each step reads 128 characters" in out


def test_a_dry_run_refuses_what_the_run_would(tmp_path: Path) -> None:
    preset = presets.from_document({"data": {"text": "short", "val_fraction": 0.0}, "batch": {"T": 16}}, source="test")
    with pytest.raises(UsageError, match=r"batch\.T = 16 is too large"):
        dry_run.tell(preset, json=True, progress=Preparing(silent=True))


def test_what_this_computer_has_not_is_told(capsys: Capture) -> None:
    for B, more in ((4, False), (2**20, True)):
        doc = document(GPT, batch__B=B, model__width=256, batch__T=64)
        dry_run.tell(presets.from_document(doc, source="test"), json=False, progress=Preparing(silent=True))
        assert ("of this computer: on its processors it would be refused" in capsys.readouterr().out) is more
