"""The Runs pane: runs, events, worker.log; what its keys do to a run, and what they refuse."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import WorkbenchError
from workbench.runs import commands, status
from workbench.runs.events import EventReader
from workbench.runs.files import Lock
from workbench.runs.records import StepLog, StepReader
from workbench.screen import glyphs
from workbench.screen.bench.edits import sentence
from workbench.screen.bench.follow import Followed
from workbench.screen.bench.offer import offered
from workbench.screen.frame.scrolling import Listed, Scrolled
from workbench.screen.frame.slots import RUNS
from workbench.screen.runs import removal, runs_table, telling, worker_log
from workbench.screen.runs.pane import Runs
from workbench.screen.runs.shelf_of_runs import Row, Shelf, short


def text_of(pane: Any) -> list[str]:
    """What a pane shows, line by line."""
    return [pane.render_line(y).text.rstrip() for y in range(pane.size.height)]


async def until(pilot: Any, what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not what():
        assert time.monotonic() < deadline, "it did not become true in time"
        await pilot.pause(0.02)
    await pilot.pause()


async def shown(pilot: Any) -> Runs:
    """The pane with the focus, its list read."""
    await pilot.press("8")
    pane = pilot.app.screen.house.pane(RUNS)
    assert isinstance(pane, Runs)
    await until(pilot, lambda: pane._shelf.found is not None)
    return pane


# ------------------------------------------------------------------------------------------ the list


def test_the_newest_run_is_first_and_a_row_says_what_its_files_say(runs_folder: Path, made_run: Any) -> None:
    old = made_run(records=300, age=60)
    new = made_run(records=100, state="lost", edit=False)
    rows = Shelf(runs_folder).look()
    assert [row.path for row in rows] == [new, old]
    assert (rows[0].state, rows[0].step, rows[0].steps, rows[0].lr) == ("lost", 100, 200, 1e-3)
    last = StepReader(old).read(299)
    evaluated = [e for e in EventReader(old).poll() if e["type"] == "eval"][-1]
    assert rows[1].loss == last["loss"][0]
    assert rows[1].val_loss == evaluated["val_loss"]
    assert (rows[1].B, rows[1].T, rows[1].accum) == (4, 16, 1)
    assert rows[1].lr == 1e-2, "the peak as it was edited, not the one it began with"


def test_a_row_follows_its_files(runs_folder: Path, made_run: Any) -> None:
    path = made_run(records=10, state="running")
    shelf = Shelf(runs_folder)
    before = shelf.look()[0]
    assert shelf.look()[0] is before, "nothing has changed: nothing is read again"
    log = StepLog(path)
    log.append(10, 704, 40, 0.25, 1e-3, 1.0, 0.01, 0.11, 8, 16, 2, 1, 0)
    log.close()
    after = shelf.look()[0]
    assert (after.step, after.loss, after.cells["B·T·accum"]) == (11, 0.25, "8·16·2")


def test_two_hundred_runs_are_read_once(runs_folder: Path, made_run: Any) -> None:
    for n in range(200):
        made_run(records=2, age=n)
    shelf = Shelf(runs_folder)
    first = shelf.look()
    assert len(first) == 200
    assert all(row is before for row, before in zip(shelf.look(), first, strict=True))


def test_a_damaged_run_hides_no_other(runs_folder: Path, made_run: Any) -> None:
    good = made_run(records=5, age=10)
    bad = made_run(records=5)
    (bad / "preset.toml").write_text('batch = "\x1b[31m"')
    assert {row.path: row.state for row in Shelf(runs_folder).look()} == {good: "done", bad: "unreadable"}


def test_settings_are_written_as_people_write_them() -> None:
    values = (1e-3, 3e-4, 0.1, 0.01, 0.0, 1.0, 2.5e-05, float("inf"), float("nan"))  # the last two: a damaged record
    assert [short(v) for v in values] == [
        "1e-3", "3e-4", "0.1", "1e-2", "0", "1", "2.5e-5", "inf", "nan",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [20, 32, 50, 75, 110])
def test_columns_never_overflow_and_the_most_telling_come_first(width: int) -> None:
    rows = [Row(Path("char-20260102-100000"), "out-of-memory", 1240, 5000, 1.83, 1.9, 64, 64, 1, 1e-3)]
    widths = runs_table.columns(rows, width)
    assert sum(widths.values()) + 2 * (len(widths) - 1) <= width
    assert "run" in widths
    assert ("done" in widths) != ("step" in widths) or width < 25
    if width >= 32:
        assert "loss" in widths
    if width >= 75:
        assert list(widths) == ["run", "state", "step", "loss", "val", "B·T·accum", "lr"][: len(widths)]
        assert glyphs.middle(rows[0].name, widths["run"]) == "char-20260102-100000"
    line = "".join(text for text, _ in runs_table.line(rows[0], widths, width + 3, over="cursor"))
    assert len(line) == width + 3


def test_a_name_is_cut_in_its_middle_and_made_harmless() -> None:
    assert glyphs.middle("unicode-names-20260102-100000", 18) == "unicode-na…-100000"
    assert "\x1b" not in glyphs.middle("evil\x1b[31m-20260102-100000", 18)


def test_lists_keep_their_place() -> None:
    cursor = Listed()
    assert list(cursor.view(10, 4)) == [0, 1, 2, 3]
    cursor.move(5)
    assert list(cursor.view(10, 4)) == [2, 3, 4, 5]
    cursor.to_end(1)
    assert list(cursor.view(10, 4)) == [6, 7, 8, 9]
    assert list(cursor.view(3, 4)) == [0, 1, 2], "the list has become shorter"
    log = Scrolled()
    assert list(log.view(10, 4)) == [6, 7, 8, 9]
    assert list(log.view(12, 4)) == [8, 9, 10, 11], "the end is followed"
    log.move(-3)
    assert list(log.view(12, 4)) == [5, 6, 7, 8]
    assert list(log.view(20, 4)) == [5, 6, 7, 8], "someone reads there: nothing moves"
    log.to_end(1)
    assert list(log.view(20, 4)) == [16, 17, 18, 19]


# ------------------------------------------------------------------------------------------ in words


def test_events_in_words(made_run: Any) -> None:
    path = made_run(
        records=200, state="diverged", reason="the loss of record 200 is nan",
        events=(
            ("answer", {"id": "a", "state": "accepted", "step": 200, "reason": ""}),
            ("answer", {"id": "b", "state": "refused", "step": 200, "reason": "batch.T: too long"}),
            ("eval", {"step": 200, "train_loss": None, "val_loss": None, "perplexity": None}),
            ("odd", {"step": 200, "thing": 1}),
            ("edit", {"step": 200, "changes": 5}),
        ),
    )  # fmt: skip
    reader = EventReader(path, strict=False)
    told = telling.told(reader.poll())
    lines = [f"{t.step} {t.kind} {t.what}" for t in told]
    assert "100 edit lr 1e-3 → 1e-2 acts from step 100" in lines
    assert "100 checkpoint saved, the best so far: val 1.4524" in lines
    assert any(line.startswith("0 eval val 3.3800  train 3.3000  ppl 29.37") for line in lines)
    assert "200 answer a command was refused: batch.T: too long" in lines
    assert "200 eval train –" in lines
    assert '200 odd {"thing":1}' in lines
    assert reader.left_out == 1, "an edit of nothing is damaged"
    assert len([t for t in told if t.kind == "edit"]) == 1
    (odd,) = telling.told([{"type": "edit", "step": 200, "changes": 5}])
    assert odd.what == '{"changes":5}', "an event that nobody understands is told as it is"
    assert not any("accepted" in line or "applied" in line for line in lines)
    assert lines[-1].startswith("200 end diverged after 2.0 s of training, val 1.2941: the loss of record 200")


def test_a_tale_goes_on_and_begins_anew_where_events_were_taken_back(made_run: Any) -> None:
    events = EventReader(made_run(records=300)).poll()
    tale = telling.Tale()
    assert tale.lines(events[:5]) == telling.told(events[:5])
    first = tale.lines(events)[0]
    assert tale.lines(events) == telling.told(events)
    assert tale.lines(events)[0] is first, "not told again"
    fewer = [*events[:4], *events[6:]]
    assert tale.lines(fewer) == telling.told(fewer)
    others = [*events[:4], *({"type": "warning", "message": f"another attempt's {n}"} for n in range(len(events)))]
    assert tale.lines(others) == telling.told(others), "more than there were, and others"


@pytest.mark.parametrize(
    ("state", "more", "expected"),
    [
        ("lost", {}, ["the worker is gone (pid 4194305)", "R resumes from step 100"]),
        ("lost", {"host": "elsewhere"}, ["no heartbeat from elsewhere", "R resumes from step 100"]),
        ("failed", {"reason": "disk: No space left; mend it, then `workbench resume` the run"},
         ["failed: disk: No space left; mend it, then R resumes from step 100"]),
        ("diverged", {"reason": "the loss of record 150 is nan; …: try `workbench resume x --set lr=1e-3`"},
         ["diverged: the loss of record 150 is nan", "M goes on from step 100 with lr = 1e-3", "R repeats it"]),
        ("out-of-memory", {"reason": "out of memory: tried to allocate 3 GiB"},
         ["out of memory: tried", "M goes on from step 100 with B = 2, accum = 2"]),
        ("done", {}, []), ("stopped", {}, []), ("running", {}, []),
    ],
)  # fmt: skip
def test_trouble_says_what_happened_and_what_to_do(
    made_run: Any, monkeypatch: pytest.MonkeyPatch, state: str, more: dict[str, str], expected: list[str]
) -> None:
    followed = Followed(made_run(records=150, state=state, **more))
    if "host" in more:
        monkeypatch.setattr(status, "LOST_AFTER", -1.0)
    followed.look()
    told = telling.trouble(followed, sentence(offered(followed)))
    assert all(part in told for part in expected), told
    assert bool(told) == bool(expected)


def test_the_end_of_a_log_is_what_a_terminal_would_have_shown(tmp_path: Path) -> None:
    assert worker_log.tail(tmp_path).lines == ()
    log = tmp_path / "worker.log"
    log.write_bytes(b"\x1b[33mWarning\x1b[0m: odd\n10%\r20%\r30%\nno newline \xff")
    read = worker_log.tail(tmp_path)
    assert read.lines == ("Warning: odd", "30%", "no newline \ufffd")
    assert worker_log.tail(tmp_path, read) is read
    log.write_bytes(b"x" * 50 + b"\n" + b"0123456789\n" * 10_000)
    read = worker_log.tail(tmp_path, read)
    assert read.cut
    assert set(read.lines) == {"0123456789"}, "the line that the cut went through is left out"


# ------------------------------------------------------------------------------------------ deleting


def test_deleting_takes_the_run_and_nothing_else(runs_folder: Path, made_run: Any, tmp_path: Path) -> None:
    outside = tmp_path / "precious"
    outside.mkdir()
    (outside / "file").write_text("kept")
    path, other = made_run(records=20), made_run(records=20)
    size = removal.size_of(path)
    assert size > 20 * 84
    (path / "checkpoints" / "elsewhere").symlink_to(outside)
    (path / "link").symlink_to(outside / "file")
    removal.remove(path)
    assert [p.name for p in runs_folder.iterdir()] == [other.name]
    assert (outside / "file").read_text() == "kept"


def test_what_is_refused(runs_folder: Path, made_run: Any, tmp_path: Path) -> None:
    live, held, linked = made_run(records=5, state="running"), made_run(records=5), made_run(records=5)
    lock = Lock(held / "lock")
    assert lock.acquire()
    link = runs_folder / "link"
    link.symlink_to(linked)
    folder = tmp_path / "folder"
    folder.mkdir()
    for path, why in (
        (live, "is running: stop it first"),
        (held, "holds its lock"),
        (link, "is a link"),
        (folder, "not a run"),
    ):
        with pytest.raises(WorkbenchError, match=why):
            removal.remove(path)
        assert path.exists()
    assert len(list(runs_folder.iterdir())) == 4
    lock.release()


# ------------------------------------------------------------------------------------------ the pane


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 35), (200, 60)])
async def test_it_shows_the_runs_at_every_size(app: Any, made_run: Any, size: tuple[int, int]) -> None:
    for n in range(12):
        made_run(records=100, age=n + 1, state=("done", "lost", "stopped")[n % 3])
    run = made_run(records=300, state="diverged", reason="the loss of record 300 is nan")
    async with app(run=run, size=size) as pilot:
        pane = await shown(pilot)
        lines = text_of(pane)
        assert lines[0].startswith("✗ diverged: the loss of record 300")
        assert any("▸✗ tiny-" in line and "1.2" in line for line in lines)
        assert " of 13" in pane.caption()
        assert all(len(line) <= pane.size.width for line in lines)


async def test_nothing_there_says_what_to_do(app: Any) -> None:
    async with app() as pilot:
        pane = await shown(pilot)
        assert text_of(pane)[0].startswith("no runs yet: space starts one")
        await pilot.press("e")
        assert " ".join(text_of(pane)).startswith("no run is open: enter opens one among the")


async def test_enter_opens_and_o_overlays(app: Any, made_run: Any) -> None:
    first, second = made_run(records=50, age=20), made_run(records=60, age=10)
    async with app(run=first) as pilot:
        pane, bench = await shown(pilot), pilot.app.bench
        await pilot.press("home", "o")
        assert [run.path for run in bench.overlays] == [second]
        assert any(line.startswith("1✓") for line in text_of(pane))
        await pilot.press("o", "o", "enter")
        assert bench.run.path == second
        assert bench.overlays == [], "a run is not drawn over itself"
        await pilot.press("down", "enter")
        assert bench.run.path == first
        (second / "preset.toml").write_text("what = is this")
        await pilot.press("up", "enter")
        assert bench.run.path == first, "what cannot be opened leaves the open one as it was"


async def test_the_cursor_stays_on_its_run_when_another_one_appears(app: Any, made_run: Any) -> None:
    made_run(records=5, age=30)
    second = made_run(records=5, age=20)
    async with app() as pilot:
        pane = await shown(pilot)
        await pilot.press("home")
        assert pane._chosen == second
        made_run(records=5)
        pane._look(now=True)
        await until(pilot, lambda: len(pane._shelf.found or ()) == 3)
        assert pane._chosen == second
        await pilot.press("up")
        assert pane._chosen != second


async def test_clicks_choose_and_a_double_click_opens(app: Any, made_run: Any) -> None:
    older, newer = made_run(records=5, age=20), made_run(records=5)
    async with app() as pilot:
        pane = await shown(pilot)
        line = next(y for y, text in enumerate(text_of(pane)) if glyphs.middle(newer.name, 18)[-6:] in text)
        await pilot.click(pane, offset=(8, line + 2))
        assert pane._chosen == older
        await pilot.click(pane, offset=(8, line + 1), times=2)
        assert pilot.app.bench.run is not None
        assert pilot.app.bench.run.path == newer


async def test_delete_asks_and_closes_what_was_open(app: Any, made_run: Any, runs_folder: Path) -> None:
    run = made_run(records=50)
    async with app(run=run) as pilot:
        await shown(pilot)
        await pilot.press("D")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 2)
        words = str(pilot.app.screen.query_one(".words").render())
        assert f"{run.name}: 50 steps, done; " in words
        assert "KiB" in words
        await pilot.press("n")
        await pilot.pause()
        assert run.exists()
        await pilot.press("D")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 2)
        await pilot.press("y")
        await until(pilot, lambda: not run.exists())
        await until(pilot, lambda: pilot.app.bench.run is None)
        assert list(runs_folder.iterdir()) == []


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_live_run_or_a_read_only_screen_deletes_nothing(app: Any, made_run: Any, read_only: bool) -> None:
    run = made_run(records=50, state="done" if read_only else "running")
    async with app(run=run, read_only=read_only) as pilot:
        await shown(pilot)
        await pilot.press("D")
        await pilot.pause(0.1)
        assert len(pilot.app.screen_stack) == 1
        assert run.exists()


async def test_R_resumes_the_run_under_the_cursor(app: Any, made_run: Any) -> None:
    paused, opened = made_run(records=50, age=20, state="paused"), made_run(records=60)
    async with app(run=opened) as pilot:
        await shown(pilot)
        await pilot.press("end", "R")
        await until(pilot, lambda: any(p.name[0] != "." for p in (paused / "commands").iterdir()))
        assert pilot.app.bench.run.path == paused
        (asked,) = commands.Inbox(paused).poll()
        assert asked.command == "unpause"


async def test_events_follow_and_are_filtered(app: Any, made_run: Any) -> None:
    run = made_run(
        records=500, events=(("answer", {"id": "b", "state": "refused", "step": 500, "reason": "no\x1b[31m"}),)
    )
    async with app(run=run, size=(80, 24)) as pilot:
        pane = await shown(pilot)
        await pilot.press("e")
        lines = text_of(pane)
        assert "end" in lines[-1]
        assert "done after 5.0 s" in lines[-1], "the newest is at the bottom"
        assert any("a command was refused: no␛[31m" in line for line in lines)
        await pilot.press("home")
        assert "start" in text_of(pane)[0]
        assert pane.caption().startswith("events 1–")
        await pilot.press("f", *"EDIT", "enter")
        assert "lr 1e-3 → 1e-2 acts from step 250" in text_of(pane)[0]
        assert text_of(pane)[1] == ""
        await pilot.press("escape")
        assert text_of(pane)[1] != ""


async def test_damaged_events_are_left_out_and_counted_on_the_screen(app: Any, made_run: Any) -> None:
    edits = [("edit", {"step": 100, "changes": changes}) for changes in (5, {"optimizer.lr": 1})]
    run = made_run(records=500, events=tuple(edits))
    async with app(run=run, size=(160, 40)) as pilot:
        pane, followed = await shown(pilot), pilot.app.bench.run
        assert followed.error == "events.jsonl: 2 events are damaged and left out: no worker writes such"
        top = pilot.app.screen._compositor.render_strips()[0].text
        assert "2 events are damaged and left out" in top
        await pilot.press("e")
        assert "done after 5.0 s" in text_of(pane)[-1], "what comes after them is read"
        assert len(followed.of("edit")) == 1


async def test_the_log_is_shown_harmless_and_wrapped(app: Any, made_run: Any) -> None:
    run = made_run(records=20, state="failed", reason="it broke")
    (run / "worker.log").write_text("first\n" + "long " * 60 + "\nlast \x1b]0;evil\x07words\n")
    async with app(run=run, size=(80, 24)) as pilot:
        pane = await shown(pilot)
        await pilot.press("e", "e")
        await until(pilot, lambda: any("last" in line for line in text_of(pane)))
        text = "\n".join(text_of(pane))
        assert "last ␛]0;evil␇words" in text
        assert text.startswith("✗ failed: it broke; mend it, then R resumes from its beginning (no\ncheckpoint)")
        assert text.replace("\n", "").count("long") == 60, "long lines are wrapped and not cut"
        with (run / "worker.log").open("a") as log:
            log.write("and more\n")
        pane._look(now=True)
        await until(pilot, lambda: any("and more" in line for line in text_of(pane)))


async def test_rows_are_made_once(app: Any, made_run: Any, runs_folder: Path) -> None:
    run = made_run(records=400)
    async with app(run=run, size=(80, 24)) as pilot:
        pane = await shown(pilot)
        one = Shelf(runs_folder).look()[0]
        pane._shelf.found = tuple(
            Row(Path(f"{one.path}-{n}"), "done", 5, 10, 1.0, 2.0, 4, 16, 1, 0.1) for n in range(200)
        )
        list(pane.draw(76, 30))
        made = [id(row.cells) for row in pane._shelf.found]
        for height in (30, 20, 10):
            list(pane.draw(76, height))
        assert [id(row.cells) for row in pane._shelf.found] == made
