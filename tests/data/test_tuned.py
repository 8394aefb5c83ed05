"""Measured choices: kept for one machine and one shape, forgotten by a word or by removing the file."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import GPT, MLP, document

from workbench import preset as presets
from workbench.data import tuned
from workbench.data.tuned import Choice

MACHINE = {"device": "cpu", "device_model": "a CPU", "processors": 2, "torch_version": "2.13.0"}
CHOICE = Choice(precision="fp32", attention="plain", threads=2)


def shape(**changes: Any) -> tuned.Facts:
    return tuned.shape(presets.from_document(document(GPT, **changes), source="test"))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of its own with one choice."""
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    return tuned.write(MACHINE, shape(), CHOICE, [])


def test_what_is_kept_is_read_for_the_same_alone(kept: Path) -> None:
    assert tuned.read(MACHINE, shape()) == (CHOICE, "")
    assert [k.path for k in tuned.kept()] == [kept]
    for other in ({"torch_version": "2.14.0"}, {"processors": 1}, {"device_model": "another"}):
        assert tuned.read(MACHINE | other, shape()) == (None, "")
    assert tuned.read(MACHINE, shape(model__width=32)) == (None, "")


def test_a_shape_is_what_the_kernels_depend_on_but_B() -> None:
    """A sweep of B has one arithmetic."""
    assert shape(batch__B=99) == shape(batch__accum=7) == shape(schedule__steps=9) == shape(seed=3) == shape()
    different = [shape(batch__T=8), shape(device__precision="fp32"), shape(device__threads=2), shape(model__heads=1),
                 shape(optimizer={"kind": "muon"}), shape(device__compile="on")]  # fmt: skip
    assert all(other != shape() for other in different)
    pinned = presets.pin_context(presets.from_document(GPT, source="test"))
    assert tuned.shape(pinned) == shape()  # a worker resolves before it pins, a trial after
    assert json.loads(json.dumps(shape())) == shape()
    assert tuned.shape(presets.from_document(MLP, source="test"))["layout"] == "windows"


@pytest.mark.parametrize(
    "what", ["cut", "changed", "foreign", "folder", "fifo", "another's", "another machine's", "absurd"]
)
def test_a_file_that_is_none_is_ignored_with_a_warning(kept: Path, what: str) -> None:
    text = kept.read_text()
    other = tuned.write(MACHINE, shape(batch__T=8), Choice("bf16", "sdpa", 1), [])
    elsewhere = tuned.write(MACHINE | {"processors": 64}, shape(), CHOICE, [])
    kept.unlink()
    if what == "folder":
        kept.mkdir()
    elif what == "fifo":
        os.mkfifo(kept)
    elif what == "another's":
        shutil.copy(other, kept)
    elif what == "another machine's":
        shutil.move(elsewhere, kept)
    elif what == "absurd":
        tuned.write(MACHINE, shape(), Choice("fp7", "plain", 2), [])
    else:
        kept.write_text({"cut": text[:40], "changed": text.replace('"threads": 2', '"threads": 3')}.get(what, "[]"))
    choice, trouble = tuned.read(MACHINE, shape())
    assert choice is None
    assert trouble.startswith(f"{kept}: ")
    assert trouble.endswith("it was not used: remove it, or tune again")
    assert [k.path for k in tuned.kept() if (k.machine, k.shape) == (MACHINE, shape())] == []


def test_it_is_forgotten(kept: Path) -> None:
    elsewhere = tuned.write(MACHINE | {"processors": 64}, shape(), CHOICE, [])
    other = tuned.write(MACHINE, shape(batch__T=8), CHOICE, [])
    assert sorted(tuned.forget(shape())) == sorted([kept, elsewhere])
    assert tuned.read(MACHINE, shape()) == (None, "")
    assert other.exists()
    assert tuned.forget(shape()) == []
