"""Checkpoints: there whole or not at all, the last two and the best, tensors and JSON and never a pickle."""

import errno
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from faults.power import Disk, Recording
from safetensors.torch import load_file
from tiny_runs import GPT, MLP, TEXT, Train, bits, document, weights

from workbench import preset as presets
from workbench.data.corpus import open_corpus
from workbench.data.tokenizers import CharTokenizer, Tokenizer
from workbench.errors import WorkbenchError
from workbench.preset import ModelTable, OptimizerTable
from workbench.runs import FORMAT, directory
from workbench.runs.files import NewerFormat, opened, sync_directory
from workbench.training import checkpoints
from workbench.training.checkpoints import (
    Checkpoint,
    Meta,
    available,
    best,
    damaged,
    forget_after,
    load_into,
    newest,
    prune,
    write,
)
from workbench.training.models import Model, build
from workbench.training.optimizers import Optimizer

V = 11


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return directory.create(tmp_path, "run", "")


def made(width: int = 16, *, seed: int = 1, kind: str = "adamw", layers: int = 1) -> tuple[Model, Optimizer]:
    """A model, and an optimizer that has made one step."""
    model = build(ModelTable(layers=layers, heads=2, width=width), vocab=V, T=8, seed=seed)
    optimizer = Optimizer(model, OptimizerTable(kind=kind))  # type: ignore[arg-type]
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    return model, optimizer


def tokenizer() -> Tokenizer:
    return CharTokenizer("abcdefghij\n")


def save(run: Path, step: int, val_loss: float | None = None, **more: Any) -> Path:
    model, optimizer = made(seed=step)
    return write(run, step, model, optimizer, tokenizer(), lambda: {"val_loss": val_loss, **more})


def last(run: Path) -> Checkpoint:
    found = newest(run)
    assert found is not None
    return found


def steps(run: Path) -> list[int]:
    return [c.step for c in available(run)]


# ------------------------------------------------------------------------------------- what is in one


@pytest.mark.parametrize("kind", ["adamw", "sgd", "muon"])
def test_what_is_saved_is_what_is_loaded(run: Path, kind: str) -> None:
    model, optimizer = made(kind=kind)
    write(run, 12, model, optimizer, tokenizer(), lambda: {"val_loss": 2.5, "records": 12})
    found = last(run)
    assert (found.step, found.val_loss, found.meta["records"], found.meta["format"]) == (12, 2.5, 12, 1)
    other, its = made(seed=99, kind=kind)
    load_into(found, other, its)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    state = optimizer.state()
    assert state.keys() == its.state().keys()
    assert all(torch.equal(state[k], v) for k, v in its.state().items())
    assert found.tokenizer().encode("badge\n").tolist() == tokenizer().encode("badge\n").tolist()


def test_it_is_safetensors_and_json_private_and_no_pickle(run: Path) -> None:
    path = save(run, 500)
    assert path.name == "step-00000500"
    assert path.stat().st_mode & 0o777 == 0o700
    files = {p.name: p for p in path.iterdir()}
    assert files.keys() == {"model.safetensors", "optimizer.safetensors", "tokenizer.json", "meta.json"}
    for name, file in files.items():
        assert file.stat().st_mode & 0o777 == 0o600, name
        assert not file.read_bytes().startswith((b"\x80", b"PK")), name  # how pickles and torch.save's zips begin
        if name.endswith(".json"):
            assert json.loads(file.read_text())["format"] == 1
        else:
            assert all(t.dtype.is_floating_point for t in load_file(file).values())


def test_nothing_in_the_training_room_reads_or_writes_pickles() -> None:
    for file in Path(checkpoints.__file__).parent.glob("*.py"):
        for word in ("torch.save", "torch.load(", "import pickle"):
            assert word not in file.read_text(), f"{file.name}: {word}"


def test_meta_is_asked_for_when_the_tensors_are_on_the_disk(run: Path) -> None:
    seen: list[set[str]] = []

    def meta() -> Meta:
        (aside,) = (run / "checkpoints").glob(".step-*")
        seen.append({p.name for p in aside.iterdir()})
        assert not list((run / "checkpoints").glob("step-*"))
        return {}

    write(run, 1, *made(), tokenizer(), meta)
    assert seen == [{"model.safetensors", "optimizer.safetensors", "tokenizer.json"}]


def test_what_is_saved_survives_a_power_cut(tmp_path: Path) -> None:
    """Its name too: when saving returns it is on the disk."""
    (folder := tmp_path / "run").mkdir()
    recording = Recording(folder)
    with recording.on():
        (folder / "checkpoints").mkdir()
        sync_directory(folder)
        save(folder, 5, 2.0)
    for seed in range(20):
        Disk(recording.ops).put(left := tmp_path / str(seed), random.Random(seed))
        assert last(left).step == 5
        assert last(left).model()


def test_the_same_step_saved_twice_keeps_its_tensors_and_the_later_meta(run: Path) -> None:
    path = save(run, 5, 2.0, records=5)
    tensors, sums = {p.name: p.stat().st_mtime_ns for p in path.glob("*.safetensors")}, last(run).meta["crc32"]
    assert save(run, 5, 1.5, records=6) == path
    assert last(run).meta["crc32"] == sums
    assert {p.name: p.stat().st_mtime_ns for p in path.glob("*.safetensors")} == tensors
    (found,) = available(run)
    assert (found.step, found.val_loss, found.meta["records"]) == (5, 1.5, 6)
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["step-00000005"]


@pytest.mark.parametrize("breaks", ["model", "optimizer", "meta"])
def test_a_save_that_fails_leaves_nothing(run: Path, monkeypatch: pytest.MonkeyPatch, breaks: str) -> None:
    save(run, 1)

    def full(*_: Any) -> Meta:
        raise OSError(28, "No space left on device")

    real = checkpoints._write_tensors
    monkeypatch.setattr(
        checkpoints, "_write_tensors", lambda path, tensors: full() if breaks in path.name else real(path, tensors)
    )
    with pytest.raises(OSError, match="No space"):
        write(run, 2, *made(), tokenizer(), full if breaks == "meta" else dict)
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["step-00000001"]


# ------------------------------------------------------------------------------------- which are kept


@pytest.mark.parametrize(
    ("losses", "kept"),
    [
        ([3.0, 2.0, 1.0], [2, 3]),
        ([1.0, 2.0, 3.0, 4.0], [1, 3, 4]),
        ([3.0, 1.0, 2.0, None, None], [2, 4, 5]),
        ([1.0, 1.0, 1.0, 1.0], [1, 3, 4]),  # of equals the earliest
        ([None, None, None, None], [3, 4]),
        ([1.0], [1]),
    ],
)
def test_the_last_two_and_the_best_are_kept(run: Path, losses: list[float | None], kept: list[int]) -> None:
    for step, loss in enumerate(losses, 1):
        save(run, step, loss)
        prune(run)
    assert steps(run) == kept
    judged = [loss for loss in losses if loss is not None]
    top = best(available(run))
    assert (top.val_loss if top else None) == (min(judged) if judged else None)


def test_a_run_keeps_them(train: Train) -> None:
    ran = train(document(GPT, schedule__steps=40, checkpoint__every=7, eval__every=10))
    evals = {e["step"]: e["val_loss"] for e in ran.of("eval")}
    found = available(ran.path)
    assert [c.step for c in found][-2:] == [35, 40]
    assert {c.step for c in found} == {35, 40, min(evals, key=lambda s: evals[s])}
    assert {c.step: c.val_loss for c in found if c.val_loss is not None} == {
        s: v for s, v in evals.items() if s in {c.step for c in found}
    }
    told = [e["step"] for e in ran.of("checkpoint")]
    assert set(range(7, 41, 7)) | {40} <= set(told)
    assert all(e["best"] for e in ran.of("checkpoint") if e["step"] in evals and e["val_loss"] == min(evals.values()))


def test_checkpoints_are_ordered_by_step_and_not_by_name(run: Path) -> None:
    for step in (99_999_999, 100_000_000, 5):
        save(run, step)
    assert steps(run) == [5, 99_999_999, 100_000_000]
    forget_after(run, 99_999_999)
    assert steps(run) == [5, 99_999_999]


# ------------------------------------------------------------------------------------- half-written and damaged


def test_half_written_ones_are_no_checkpoint_and_are_swept_up(run: Path) -> None:
    save(run, 3)
    for name in (".step-00000004.abcd1234", ".step-00000009.00000000"):
        (run / "checkpoints" / name).mkdir()
        (run / "checkpoints" / name / "model.safetensors").write_bytes(b"half")
    assert steps(run) == [3]
    prune(run)
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["step-00000003"]


DAMAGE: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[:20]),
    "no step": lambda path: path.write_text('{"format": 1}'),
    "no number": lambda path: path.write_text('{"format": 1, "step": "many"}'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_meta_is_no_checkpoint(run: Path, damage: Callable[[Path], object]) -> None:
    save(run, 3)
    damage(save(run, 4) / "meta.json")
    assert steps(run) == [3]
    assert last(run).step == 3
    prune(run)
    assert steps(run) == [3]


def test_a_run_whose_last_checkpoint_is_damaged_goes_on_from_the_one_before(train: Train, resume: Train) -> None:
    """Even at the damaged one's own step, where other weights are saved under its name."""
    whole = train(document(GPT), at_start=[{"command": "set", "at": 20, "changes": {"optimizer.lr": 3e-4}}])
    ran = train(document(GPT))
    (ran.path / "checkpoints" / "step-00000040" / "meta.json").write_bytes(b"")
    done = resume(ran.path, {"optimizer.lr": 3e-4})
    assert [e["step"] for e in done.of("resume")] == [20]
    assert bits(done.records) == bits(whole.records)
    assert weights(done.path) == weights(whole.path)


def test_a_run_all_of_whose_checkpoints_are_damaged_is_not_begun_again_unasked(train: Train, resume: Train) -> None:
    ran = train(document(GPT))
    for meta in (ran.path / "checkpoints").glob("step-*/meta.json"):
        meta.write_bytes(meta.read_bytes()[:-20])
    curve = (ran.path / "steps.bin").read_bytes()
    with pytest.raises(WorkbenchError, match="no other checkpoint to go on from; put it back, or remove it"):
        resume(ran.path, {"schedule.steps": 60})
    assert (ran.path / "steps.bin").read_bytes() == curve
    shutil.rmtree(ran.path / "checkpoints")
    (ran.path / "checkpoints").mkdir()
    assert [e["step"] for e in resume(ran.path).of("resume")] == [0]


def test_one_of_a_newer_format_is_neither_left_out_nor_pruned(run: Path) -> None:
    for step in (1, 2, 3, 4):
        save(run, step)
    meta = run / "checkpoints" / "step-00000004" / "meta.json"
    meta.write_text(meta.read_text().replace(f'"format":{FORMAT}', f'"format":{FORMAT + 1}', 1))
    with pytest.raises(NewerFormat, match="newer"):
        newest(run)
    prune(run)
    assert len(list((run / "checkpoints").iterdir())) == 4


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE, errno.EIO], ids=errno.errorcode.get)
def test_a_disk_that_goes_away_while_it_prunes_ends_nothing_and_loses_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for step, loss in enumerate((1.0, 2.0, 3.0, 4.0), 1):
        save(run, step, loss)
    folder, asked = run / "checkpoints", 0

    def until_it_goes(real: Callable[..., Any], good: int) -> Callable[..., Any]:
        def ask(*arguments: Any, **more: Any) -> Any:
            nonlocal asked
            asked += 1
            if asked > good:
                raise OSError(number, os.strerror(number), str(folder))
            return real(*arguments, **more)

        return ask

    went_through = False
    for good in range(99):  # times that it answers before it goes
        asked = 0
        with monkeypatch.context() as patched:
            for module, name in ((checkpoints, "opened"), (checkpoints, "safe_open"), (os, "listdir"), (os, "scandir")):
                patched.setattr(module, name, until_it_goes(getattr(module, name), good))
            prune(run)
        assert {1, 3, 4} <= set(steps(run))
        went_through = asked <= good
        if went_through:
            break
    assert went_through
    assert steps(run) == [1, 3, 4]


def test_pruning_where_none_is_whole_takes_away_what_could_be_put_back_together(run: Path) -> None:
    path = save(run, 3)
    (path / "meta.json").rename(run / "meta.json")
    prune(run)
    (run / "meta.json").rename(path / "meta.json")
    assert steps(run) == [3]


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE], ids=errno.errorcode.get)
def test_a_run_waits_for_a_disk_that_cannot_say_whether_a_step_is_saved(
    train: Train, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A second save of step 20 looks at the first, and so does nothing else: nothing is written over what is good."""
    refused: list[Path] = []

    def away(path: Path) -> Any:
        if path.parent.name == "step-00000020" and len(refused) < 3:
            refused.append(path)
            raise OSError(number, os.strerror(number), str(path))
        return opened(path)

    def goes(run: Path) -> None:
        monkeypatch.setattr(checkpoints, "opened", away)

    ran = train(document(GPT), call={19: goes}, at_start=[{"command": "save", "at": 20}])
    assert (ran.outcome.state, len(refused)) == ("done", 3)
    assert [c.step for c in available(ran.path)] == [20, 40]
    assert ran.answers(0)[-1]["state"] == "applied"
    waited = [e["message"] for e in ran.of("warning")]
    assert "training waits" in waited[0]
    assert "training goes on" in waited[-1]


def test_forgetting_what_lies_past_a_step(run: Path) -> None:
    for step in (1, 2, 3, 4):
        save(run, step)
    (run / "checkpoints" / "step-00000003" / "meta.json").write_bytes(b"damaged")
    (run / "checkpoints" / "step-notes").mkdir()
    forget_after(run, 2)
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == [
        "step-00000001", "step-00000002", "step-notes",
    ]  # fmt: skip


def test_a_run_without_checkpoints(run: Path, tmp_path: Path) -> None:
    for where in (run, tmp_path / "nowhere"):
        assert available(where) == []
        assert newest(where) is best(available(where)) is None
    prune(run)
    forget_after(tmp_path / "nowhere", 0)


@pytest.mark.parametrize(("width", "layers"), [(32, 1), (16, 2)], ids=["wider", "deeper"])
def test_another_models_weights_are_refused(run: Path, width: int, layers: int) -> None:
    path = save(run, 3)
    found = last(run)
    with pytest.raises(WorkbenchError, match="not this model's weights") as raised:
        load_into(found, *made(width, layers=layers))
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize("damage", [DAMAGE["gone"], DAMAGE["empty"], DAMAGE["half"]], ids=["gone", "empty", "half"])
def test_one_with_damaged_tensors_is_none(run: Path, name: str, damage: Callable[[Path], object]) -> None:
    save(run, 2)
    path, was = save(run, 3), last(run)
    damage(path / name)
    assert steps(run) == [2]
    assert damaged(run) == damaged(run, 2) == [path]
    assert damaged(run, 3) == []
    with pytest.raises(WorkbenchError, match="not a readable safetensors file") as raised:
        load_into(was, *made())
    assert name in str(raised.value)
    assert save(run, 3) == path
    assert steps(run) == [2, 3]
    damage(path / name)
    prune(run)
    assert not path.exists()


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
def test_one_bit_that_the_disk_changed_is_noticed(run: Path, name: str) -> None:
    path = save(run, 3)
    data = bytearray((path / name).read_bytes())
    data[-2] ^= 1
    (path / name).write_bytes(data)
    with pytest.raises(WorkbenchError, match="not the bytes that were written: its checksum differs; move this"):
        load_into(last(run), *made())
    save(run, 3)  # the same step again keeps its tensors, and their sums
    assert "crc32" in last(run).meta


def test_an_earlier_versions_checkpoint_has_no_sums(run: Path) -> None:
    without_sums(save(run, 3))
    load_into(last(run), *made())


def without_sums(path: Path) -> None:
    meta = json.loads((path / "meta.json").read_text())
    del meta["crc32"]
    (path / "meta.json").write_text(json.dumps(meta))


def test_an_optimizers_state_of_other_shapes_is_refused(run: Path) -> None:
    path, other = save(run, 3), save(run, 4)
    _, wide = made(32)
    checkpoints._write_tensors(path / "optimizer.safetensors", wide.state())
    (other / "optimizer.safetensors").write_bytes((path / "optimizer.safetensors").read_bytes())
    without_sums(other)
    with pytest.raises(WorkbenchError, match="not this model's weights"):
        load_into(last(run), *made())


# ------------------------------------------------------------------------------------- what a run puts in


@pytest.mark.parametrize("base", [GPT, MLP], ids=["gpt", "mlp"])
def test_a_checkpoint_knows_its_tokenizer_and_where_the_run_stood(train: Train, base: dict[str, Any]) -> None:
    ran = train(document(base))
    found = last(ran.path)
    text = base["data"]["text"]
    assert found.tokenizer().decode(found.tokenizer().encode(text)) == text
    assert found.meta["records"] == 40 == found.step
    assert found.meta["fingerprint"] == ran.of("start")[0]["fingerprint"]
    assert found.meta["vocab"] == found.tokenizer().vocab_size
    assert found.meta["position"]["rows_before"] == 40 * base["batch"]["B"]
    told = (ran.path / "events.jsonl").read_bytes()[: found.meta["events_bytes"]].splitlines()
    assert json.loads(told[-1])["type"] == "checkpoint"  # all that was said before it, itself included
    assert base["batch"]["B"] == presets.from_document(found.meta["settings"], source="test").batch.B


def test_the_text_of_a_corpus_is_not_in_its_checkpoint(train: Train) -> None:
    """Only its vocabulary is: a checkpoint may be shared where the text may not."""
    path = train(document(GPT, schedule__steps=5)).path
    found = last(path)
    assert set(json.loads((found.path / "tokenizer.json").read_text())["characters"]) == set(TEXT)
    data = presets.from_document({"data": {"text": TEXT}}, source="test").data
    assert found.tokenizer().vocab_size == open_corpus(data).tokenizer.vocab_size
