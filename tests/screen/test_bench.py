"""Staging, undo and redo, the lock: no change is lost, and none acts where nobody sent it."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import GPT

from workbench import preset as presets
from workbench.preset import Preset
from workbench.runs import FORMAT, status
from workbench.runs.events import EventLog, event
from workbench.runs.files import replace_json
from workbench.runs.inspections import Inspected
from workbench.screen.bench.bench import Bench
from workbench.screen.bench.edits import Edit, kept_constant, number
from workbench.screen.bench.follow import Followed, Follower
from workbench.screen.bench.looking import EVERY, KEPT
from workbench.screen.bench.rows import held_at
from workbench.screen.knobs.knobs import lr_changes


@pytest.fixture
def live(bench: Any, made_run: Any) -> Bench:
    """A bench on a run of this process, running at step 50 with context 0 in its preset and T = 16."""
    it = bench(run=made_run(records=50, state="running", edit=False))
    hear(it)
    return it


def hear(bench: Bench) -> None:
    assert bench.run is not None
    bench.changed(bench.run, bench.run.look())


def sent(bench: Bench) -> list[dict[str, Any]]:
    assert bench.run is not None
    return [json.loads(path.read_text()) for path in sorted((bench.run.path / "commands").glob("*.json"))]


def answer(bench: Bench, state: str, changes: dict[str, Any] | None = None) -> None:
    """What the worker would say to the last command."""
    assert bench.run is not None
    command = sent(bench)[-1]
    log = EventLog(bench.run.path)
    if state == "applied":
        told = {key: [presets.get(bench.run.live, key), new] for key, new in (changes or command["changes"]).items()}
        base = {"row": 0, "token": 0, "epoch": 0}
        log.append(event("edit", 0.5, step=50, id=command["id"], changes=told, base=base))
    log.append(event("answer", 0.5, step=50, id=command["id"], state=state, reason="" if state == "applied" else "no"))
    log.close()
    hear(bench)


def said(bench: Bench) -> str:
    notices, bench.notices = bench.notices, []
    return "\n".join(notice.text for notice in notices)


# --------------------------------------------------------------------------------------- without a run


def test_without_a_run_a_change_holds_at_once(bench: Any) -> None:
    it = bench("to-be")
    assert it.change({"batch.B": 8})
    assert (it.draft.batch.B, it.staged) == (8, {})


def test_what_does_not_fit_changes_nothing_and_is_told(bench: Any) -> None:
    it = bench("char")
    before = it.draft
    assert not it.change({"model.heads": 5})
    assert it.draft is before
    assert "model.heads = 5" in said(it)
    assert it.wrong_with({"model.heads": 5}).startswith("model.heads = 5: expected a number that divides")


@given(st.lists(st.sampled_from(["B", "kind", "optimizer", "text", "dataset", "undo", "redo"]), max_size=12))
def test_undo_and_redo_walk_the_same_way_back_and_forth(moves: list[str]) -> None:
    """Every state that undo leads to is one that was there, kinds and corpora included, and redo leads back."""
    it = Bench(presets.load("to-be"), source="to-be", runs=Path("runs"))
    done: list[Preset] = [it.draft]
    at, n = 0, 1
    for move in moves:
        n += 1
        if move == "undo":
            it.undo()
            at = max(at - 1, 0)
        elif move == "redo":
            it.redo()
            at = min(at + 1, len(done) - 1)
        else:
            now = it.draft
            assert it.change({
                "B": {"batch.B": now.batch.B + 1},
                "kind": {"model.kind": "bigram" if now.model.kind == "gpt" else "gpt"},
                "optimizer": {"optimizer.kind": {"adamw": "sgd", "sgd": "muon", "muon": "adamw"}[now.optimizer.kind]},
                "text": {"data.text": f"some text {n}"},
                "dataset": {"data.dataset": f"/nowhere/{n}"},
            }[move])  # fmt: skip
            done = [*done[: at + 1], it.draft]
            at += 1
        assert it.draft == done[at]
    it.close()


# --------------------------------------------------------------------------------------- with a live run


def test_with_a_live_run_a_change_is_staged_until_it_is_applied(live: Bench) -> None:
    assert live.change({"optimizer.lr": 5e-4})
    assert live.staged == {"optimizer.lr": 5e-4}
    assert (live.now.optimizer.lr, live.proposed.optimizer.lr) == (1e-3, 5e-4)
    assert sent(live) == []
    live.apply()
    assert (sent(live)[0]["command"], sent(live)[0]["changes"]) == ("set", {"optimizer.lr": 5e-4})
    assert live.staged == {}
    answer(live, "applied")
    assert live.now.optimizer.lr == 5e-4
    assert "lr = 5e-4 acts from step 50 on" in said(live)


def test_a_change_back_to_what_holds_is_not_staged(live: Bench) -> None:
    live.change({"batch.B": 8})
    live.change({"batch.B": 4})
    assert live.staged == {}


def test_what_the_run_refuses_is_staged_again(live: Bench) -> None:
    live.change({"batch.B": 8})
    live.apply()
    answer(live, "refused")
    assert live.staged == {"batch.B": 8}


def test_undo_and_redo_of_a_live_edit_are_edits(live: Bench) -> None:
    live.change({"optimizer.lr": 5e-4})
    live.apply()
    answer(live, "applied")
    live.undo()
    assert sent(live)[-1]["changes"] == {"optimizer.lr": 1e-3}
    answer(live, "refused")
    live.undo()  # it was refused, so it is still there to be undone
    answer(live, "applied")
    assert live.now.optimizer.lr == 1e-3
    live.undo()
    assert "nothing to undo" in said(live)
    live.redo()
    assert sent(live)[-1]["changes"] == {"optimizer.lr": 5e-4}
    answer(live, "applied")
    assert live.now.optimizer.lr == 5e-4


def test_what_is_under_way_is_where_the_next_change_starts_from(live: Bench) -> None:
    """A step of a large model takes seconds: nobody waits for one edit before the next."""
    live.change({"optimizer.lr": 5e-4})
    live.apply()
    assert (live.under_way, live.proposed.optimizer.lr) == ({"optimizer.lr": 5e-4}, 5e-4)
    live.change(lr_changes(live.proposed, live.proposed.optimizer.lr / 5))
    live.apply()
    assert sent(live)[-1]["changes"] == {"optimizer.lr": 1e-4}
    live.undo()
    assert sent(live)[-1]["changes"] == {"optimizer.lr": 5e-4}
    live.undo()
    assert sent(live)[-1]["changes"] == {"optimizer.lr": 1e-3}
    live.redo()
    assert sent(live)[-1]["changes"] == {"optimizer.lr": 5e-4}
    assert "nothing" not in said(live)


def test_what_another_client_sets_is_no_longer_staged(live: Bench) -> None:
    live.change({"batch.B": 8})
    live.change({"batch.accum": 2})
    live.send("set", changes={"batch.B": 8})
    answer(live, "applied")
    assert live.staged == {"batch.accum": 2}


def test_an_unasked_look_that_fails_is_no_error(live: Bench) -> None:
    live.looking.ask()
    answer(live, "expired")
    assert (said(live), live.looking.error) == ("", "")


def test_a_slow_answer_is_told_once(bench: Any, made_run: Any) -> None:
    now = [0.0]
    it = bench(run=made_run(records=50, state="running", edit=False, phase="evaluating"), clock=lambda: now[0])
    hear(it)
    it.send("pause", quiet=True)
    it.tick()
    assert said(it) == ""
    now[0] = 1.0
    it.tick()
    it.tick()
    assert said(it) == "pause: sent; the worker is evaluating"


def test_a_pace_that_was_asked_for_counts_at_once(live: Bench) -> None:
    assert live.pace == 0.0
    live.send("pace", rate=10.0)
    assert live.pace == 10.0


def test_an_edit_that_a_dead_run_never_answered_is_in_the_draft(live: Bench) -> None:
    assert live.run is not None
    live.change({"optimizer.lr": 5e-4})
    live.apply()
    found = status.read(live.run.path)
    assert found is not None
    replace_json(live.run.path / "status.json", asdict(replace(found, state="stopped")) | {"format": FORMAT})
    hear(live)
    assert (live.alive, live.draft.optimizer.lr, live.under_way) == (False, 5e-4, {})
    assert live.resumed_with == {"optimizer.lr": 5e-4}


def test_a_resume_takes_what_was_changed_since_the_end(bench: Any, made_run: Any, monkeypatch: Any) -> None:
    it = bench(run=made_run(records=50, state="diverged", edit=False))
    hear(it)
    it.change({"optimizer.lr": 2e-4})
    it.change({"batch.T": 32})
    assert it.resumed_with == {"optimizer.lr": 2e-4}, "the model was built for a context of 16"
    told: list[list[str]] = []
    monkeypatch.setattr("workbench.screen.bench.bench.Launch", lambda words: told.append(words))
    it.resume(it.resumed_with)
    assert told == [["resume", str(it.run.path), "--set", "lr=2e-4"]]


def test_a_finished_run_goes_on_only_with_more_steps(bench: Any, made_run: Any, monkeypatch: Any) -> None:
    it = bench(run=made_run(records=50, steps=50, state="done", edit=False))
    hear(it)
    told: list[list[str]] = []
    monkeypatch.setattr("workbench.screen.bench.bench.Launch", lambda words: told.append(words))
    said(it)
    it.resume(it.resumed_with)
    assert (told, "more steps" in said(it)) == ([], True)
    it.change({"schedule.steps": 80})
    it.resume(it.resumed_with)
    assert told[0][2:] == ["--set", "steps=80"]


def test_an_edit_that_another_client_has_changed_since_is_not_undone(live: Bench) -> None:
    live.change({"optimizer.lr": 5e-4})
    live.apply()
    answer(live, "applied")
    live.send("set", changes={"optimizer.lr": 7e-4})
    answer(live, "applied")
    live.undo()
    assert "nothing to undo" in said(live)


def test_t_over_the_context_needs_a_new_run_and_one_below_does_not(live: Bench) -> None:
    assert live.now.model.context == 16
    assert live.change({"batch.T": 8})
    assert live.needs_new_run == []
    assert live.change({"batch.T": 32})
    assert live.needs_new_run == ["batch.T"]
    assert live.proposed.model.context == 0


def test_keys_of_a_kind_that_is_staged_away_go_with_it(live: Bench) -> None:
    live.change({"model.layers": 3})
    assert live.change({"model.kind": "bigram"})
    assert live.staged == {"model.kind": "bigram"}
    assert live.change({"data.text": "a text of its own"})
    assert live.change({"data.dataset": "markov"})
    assert set(live.staged) == {"model.kind", "data.dataset"}


def test_applying_sends_only_what_a_running_run_takes(live: Bench) -> None:
    live.change({"model.width": 32})
    live.change({"batch.B": 8})
    live.apply()
    assert sent(live)[-1]["changes"] == {"batch.B": 8}
    assert live.staged == {"model.width": 32}
    live.discard()
    assert live.staged == {}


def test_an_edit_of_the_draft_is_not_undone_in_a_running_run(bench: Any, made_run: Any) -> None:
    """It was made before the run began; its width cannot change any more, and nothing is sent."""
    it = bench(GPT)
    it.change({"model.width": 32})
    run = made_run(presets.to_document(it.draft), records=50, state="running", edit=False)
    it.launch = _Begun(run)  # type: ignore[assignment]
    it.open_run(Followed(run))
    hear(it)
    it.draft = it._begun = it.as_new
    it.undo()
    assert sent(it) == []
    assert "model.width needs a new run" in said(it)


class _Begun:
    """A launch that has come to its run."""

    def __init__(self, run: Path) -> None:
        self.run, self.ended = run, None


def test_what_was_changed_while_the_run_was_being_started_is_staged(bench: Any, made_run: Any) -> None:
    it = bench(GPT)
    run = made_run(records=50, state="running", edit=False, steps=1000)
    it.draft = it._begun = Followed(run).preset
    it.change({"optimizer.lr": 7e-4})
    it.launch = _Begun(run)  # type: ignore[assignment]
    it.open_run(Followed(run))
    hear(it)
    assert it.staged == {"optimizer.lr": 7e-4}


def test_an_ended_run_leaves_its_last_settings_and_what_was_staged_as_the_draft(bench: Any, made_run: Any) -> None:
    it = bench(run=made_run(records=50, state="done"))  # its lr was multiplied by ten half way
    it.staged = {"batch.B": 8}
    hear(it)
    assert (it.draft.optimizer.lr, it.draft.batch.B, it.staged) == (1e-2, 8, {})
    assert it.draft.model.context == 0
    assert (it.changed_since, it.resumed_with) == (True, {"batch.B": 8}), "what was staged is none of the run's own"
    it.change({"batch.B": 4})
    assert not it.changed_since


def test_opening_another_run_or_preset_forgets_the_one_that_was_launched(bench: Any, made_run: Any) -> None:
    """The screen opens the run of its launch by itself; it must not take back what was opened since."""
    mine, other = made_run(records=5, state="running"), made_run(records=6)
    it = bench(GPT)
    it.launch = _Begun(mine)  # type: ignore[assignment]
    it.open_run(Followed(mine))
    assert it.launch is not None
    it.open_run(Followed(other))
    assert it.launch is None


# --------------------------------------------------------------------------------------- the lock, numbers


@given(
    B=st.integers(1, 64), T=st.integers(1, 64), accum=st.integers(1, 8),
    key=st.sampled_from(["batch.B", "batch.T", "batch.accum"]), new=st.integers(1, 64),
)  # fmt: skip
def test_the_lock_keeps_the_product_or_says_that_it_cannot(B: int, T: int, accum: int, key: str, new: int) -> None:
    document = {"batch": {"B": B, "T": T, "accum": accum}}
    preset = presets.from_document(document, source="test")
    changes = kept_constant(preset, {key: new})
    if changes is None:
        others = {"batch.B": (T, accum), "batch.T": (B, accum), "batch.accum": (B, T)}[key]
        assert all(B * T * accum % (new * other) for other in others)
    else:
        batch = presets.apply(preset, changes).batch
        assert batch.B * batch.T * batch.accum == B * T * accum
        assert presets.get(presets.apply(preset, changes), key) == new


def test_a_locked_bench_tells_what_does_not_divide(bench: Any) -> None:
    it = bench("char")
    it.locked = True
    assert it.change({"batch.B": 96})
    assert (it.draft.batch.B, it.draft.batch.T) == (96, 32)
    assert not it.change({"batch.B": 7})
    assert "B·T·accum = 3,072" in said(it)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_written_so_that_it_reads_back(value: float) -> None:
    assert float(number(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(2e-4, "2e-4"), (1e-3, "1e-3"), (0.1, "0.1"), (1.0, "1.0"), (0.0, "0.0"), (1e-5, "1e-5"), (0.95, "0.95")],
)
def test_a_number_is_written_as_people_do(value: float, text: str) -> None:
    assert number(value) == text


def test_an_edit_remembers_keys_that_another_kind_has_not() -> None:
    a = presets.apply(presets.load("char").preset, {"model.layers": 6})
    b = presets.apply(a, {"model.kind": "bigram"})
    edit = Edit.between(a, b)
    assert edit.made(a) == b
    assert edit.reversed("undo").made(b) == a


def wait_until(what: Callable[[], object], timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.01)


def inspected(step: int, rows: int = 64, T: int = 256) -> Inspected:
    ids, chances = np.zeros((rows, T), np.int32), np.zeros((rows, T, 5), np.float32)
    return Inspected(
        x=ids, y=ids, losses=chances[..., 0], guesses=chances.astype(np.int32), chances=chances,
        micro_losses=np.zeros(1), micro_norms=np.zeros(1), hash="", step=step, rows_before=0, loss=0.0,
        grad_norm=0.0, clip_coefficient=1.0, lr=0.0, update_ratio=None, B=rows, T=T, accum=1, world=1,
    )  # fmt: skip


def test_the_answers_that_are_remembered_are_bounded_by_their_size(bench: Any) -> None:
    """A screen that watches for days stays as small as it was after a minute."""
    looking = bench("to-be").looking
    for step in range(40):
        looking.remember(inspected(step))
    size = 64 * 256 * (4 + 4 + 4 + 5 * 4 + 5 * 4)
    kept = [step for step in range(40) if looking.of(step)]
    assert kept == list(range(40 - KEPT // size, 40))
    assert looking.latest.step == 39


class _Starting:
    run = ended = begun = None
    phase = "starting Python"


def test_an_end_is_told_once_and_what_is_changed_after_it_stays(bench: Any, made_run: Any) -> None:
    it = bench(run=made_run(records=50, state="diverged", edit=False))
    hear(it)
    assert "diverged" in said(it)
    it.change({"optimizer.lr": 2e-4})
    it.changed(it.run, frozenset({"status", "events"}))
    assert (said(it), it.draft.optimizer.lr) == ("", 2e-4)


def test_rows_after_the_end_are_the_drafts_once_it_is_changed(bench: Any, made_run: Any) -> None:
    it = bench(run=made_run(records=50, state="done", edit=False))
    hear(it)
    assert held_at(it, 3).preset.batch.B == 4
    it.change({"batch.B": 8})
    assert (held_at(it, 3).preset.batch.B, held_at(it, 3).first) == (8, 3 * 8)


def test_a_start_or_a_resume_under_way_is_not_made_again(bench: Any, made_run: Any, monkeypatch: Any) -> None:
    made: list[Any] = []
    monkeypatch.setattr("workbench.screen.bench.bench.Launch", lambda *a, **k: made.append(a) or _Starting())
    it = bench("to-be")
    it.start()
    it.start()
    assert len(made) == 1
    assert "already starting" in said(it)
    it = bench(run=made_run(records=50, state="stopped", edit=False))
    hear(it)
    it.resume()
    it.resume()
    assert len(made) == 2


def test_another_attempt_takes_back_what_was_looked_at(bench: Any, made_run: Any) -> None:
    it = bench(run=made_run(records=50, state="running", edit=False))
    hear(it)
    it.looking.hear(it.run)
    it.looking.remember(inspected(7))
    it.looking.hear(it.run)
    assert it.looking.of(7) is not None
    it.run.status = replace(it.run.status, attempt=it.run.status.attempt + 1)
    it.looking.hear(it.run)
    assert (it.looking.latest, it.looking.of(7)) == (None, None)


def test_a_look_is_taken_unasked_where_it_is_cheap_and_not_too_often(
    bench: Any, made_run: Any, monkeypatch: Any
) -> None:
    now = [100.0]
    it = bench(run=made_run(records=50, state="running", edit=False), clock=lambda: now[0])
    hear(it)
    it.looking.wanted = True
    asked: list[str] = []
    monkeypatch.setattr(it, "send", lambda command, **more: asked.append(command) or str(len(asked)))
    monkeypatch.setattr("workbench.screen.bench.looking.LARGEST", 1)
    it.looking.tick()
    assert not asked
    monkeypatch.setattr("workbench.screen.bench.looking.LARGEST", 1 << 60)
    it.looking.tick()
    assert asked == ["inspect"]
    it.looking._asked.clear()
    now[0] += EVERY - 0.1
    it.looking.tick()
    assert len(asked) == 1
    now[0] += 0.2
    it.looking.tick()
    assert len(asked) == 2


def test_who_is_followed_is_followed_alone(made_run: Any) -> None:
    told: list[Path] = []
    follower = Follower(lambda run, changed: told.append(run.path))
    a, b = (Followed(made_run(records=20, state=state, edit=False)) for state in ("running", "done"))
    try:
        follower.keep([a])
        wait_until(lambda: told == [a.path])
        follower.keep([b])
        wait_until(lambda: told == [a.path, b.path])
        EventLog(a.path).append(event("warning", 0.0, text="nobody hears"))
        again = Followed(b.path)
        follower.keep([again])
        wait_until(lambda: len(told) == 3 and not again.reading)
        assert told[2] == b.path
    finally:
        follower.close()
