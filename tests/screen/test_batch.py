"""The Batch pane: its rows are the true ones, its figures those of theory, its losses the worker's."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strips import until
from textual.pilot import Pilot
from textual.widgets import Input

from workbench.data.batches import batch, fingerprint
from workbench.runs.files import replace_json
from workbench.runs.inspections import Inspected
from workbench.runs.records import DTYPE
from workbench.screen.batch.pane import Batch
from workbench.screen.batch.sheet import FOLLOWED_EVERY, Sheets
from workbench.screen.bench.looking import Looking
from workbench.screen.bench.rows import held_at, rows_of, shown_step
from workbench.screen.glyphs import cell
from workbench.screen.pane import Pane

SENTENCE = (
    "First Citizen: Before we proceed any further, hear me speak. Speak. You are all resolved rather to die than to "
    "famish? Resolved."
)
TYPED = [
    ("To be or not to be.", "@0,2,10,2", [
        ("To·be·or", "o·be·or·"), ("·be·or·n", "be·or·no"), ("ot·to·be", "t·to·be."), ("·be·or·n", "be·or·no"),
    ]),
    (SENTENCE, "@80,103,23,62", [
        ("resolved", "esolved·"), ("than·to·", "han·to·f"), ("e·procee", "·proceed"), ("peak.·Yo", "eak.·You"),
    ]),
]  # fmt: skip


def drawn(pane: Pane) -> list[str]:
    """What a person reads in it."""
    return [pane.render_line(y).text for y in range(pane.size.height)]


def line_with(lines: list[str], words: str) -> str:
    """The line that holds these words."""
    found = next((line for line in lines if words in line), None)
    assert found is not None, f"{words!r} is not among:\n" + "\n".join(lines)
    return found


def pane(pilot: Pilot[int]) -> Batch:
    return pilot.app.screen.query_one(Batch)


@pytest.mark.parametrize(("sentence", "starts", "rows"), TYPED, ids=["to-be", "first-citizen"])
@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_a_typed_sentence_and_typed_starts_show_the_printed_rows(
    app: Any, size: tuple[int, int], sentence: str, starts: str, rows: list[tuple[str, str]]
) -> None:
    async with app("to-be", size=size) as pilot:
        bench = pilot.app.bench
        assert bench.change({"data.text": sentence, "data.val_fraction": 0.0, "batch.B": 4, "batch.T": 8})
        pilot.app.screen.refresh_now()
        await pilot.press("g")
        await pilot.pause()
        if size == (80, 24):
            await pilot.press(*starts)
        else:  # the same, without waiting for each key
            pilot.app.screen.query_one(Input).value = starts
        await pilot.press("enter")
        await pilot.pause()
        lines = drawn(pane(pilot))
        assert line_with(lines, "B·T = 4·8 = 32 predictions")
        for n, ((x, y), start) in enumerate(zip(rows, starts[1:].split(","), strict=True)):
            at = next(i for i, line in enumerate(lines) if f"row {n} x " in line)
            begin = lines[at].index(f"row {n} x ") + len(f"row {n} x ")
            assert lines[at][begin : begin + 8] == x
            assert lines[at + 1][begin : begin + 8] == y, "y stands under x, column under column"
            assert f"@{start} " in lines[at + 1]
        await pilot.press("escape")
        assert bench.starts is None


async def test_overlaps_and_repeats_are_counted_and_a_start_without_room_is_refused(app: Any) -> None:
    async with app("to-be", size=(80, 24)) as pilot:
        pilot.app.bench.starts = (0, 2, 10, 2)
        pilot.app.screen.refresh_now()
        assert line_with(drawn(pane(pilot)), "3 rows overlap, 1 repeat")
        pilot.app.bench.starts = (0, 11)
        pilot.app.screen.refresh_now()
        assert line_with(drawn(pane(pilot)), "cannot start at 11: starts go from 0 to 10")


async def test_the_cursor_asks_in_words_and_the_mask_is_drawn(app: Any) -> None:
    async with app("to-be", size=(120, 35)) as pilot:
        pilot.app.bench.starts = (0, 2, 10, 2)
        pilot.app.screen.refresh_now()
        await pilot.press("left", "left")
        assert line_with(drawn(pane(pilot)), "after `To·b` comes `e`")
        await pilot.press("down", "right")
        lines = drawn(pane(pilot))
        assert line_with(lines, "after `·be·o` comes `r`")
        assert line_with(lines, "x[:5]").split()[-4:] == ["·be·o", "→", "y[4]", "r"]
        strip = pane(pilot).render_line(next(i for i, line in enumerate(lines) if "row 1 x" in line))
        past, target = pane(pilot).ink("past"), pane(pilot).ink("mark")
        inks = {s.text: s.style for s in strip}
        assert inks["·be·o"].bgcolor == past.bgcolor
        assert inks["r"].color == target.color
        await pilot.press("left", "left", "left", "left", "left", "left", "left", "left", "left")
        assert line_with(drawn(pane(pilot)), "after `·` comes `b`")


async def test_a_click_moves_the_cursor_to_a_cell(app: Any) -> None:
    async with app("to-be", size=(80, 24)) as pilot:
        pilot.app.bench.starts = (0, 2, 10, 2)
        pilot.app.screen.refresh_now()
        lines = drawn(pane(pilot))
        at = next(i for i, line in enumerate(lines) if "row 2 x " in line)
        column = lines[at].index("ot·to·be") + 3
        left, top = pane(pilot).content_region.offset - pane(pilot).region.offset
        await pilot.click(Batch, offset=(left + column, top + at + 1))
        assert line_with(drawn(pane(pilot)), "after `ot·t` comes `o`")


async def test_ids_stand_in_the_same_columns(app: Any) -> None:
    async with app("to-be", size=(80, 24)) as pilot:
        pilot.app.bench.starts = (0, 2, 10, 2)
        pilot.app.screen.refresh_now()
        await pilot.press("i")
        lines = drawn(pane(pilot))
        ids = pilot.app.bench.text.corpus.tokenizer.encode("To be or ").tolist()
        at = next(i for i, line in enumerate(lines) if "row 0 x " in line)
        assert " ".join(map(str, ids[:8])) in lines[at]
        assert " ".join(map(str, ids[1:])) in lines[at + 1]


async def test_the_rows_are_those_of_the_row_function_and_follow_the_keys(app: Any) -> None:
    async with app("to-be", size=(80, 24)) as pilot:
        bench = pilot.app.bench
        bench.change(
            {"data.text": SENTENCE * 9, "data.val_fraction": 0.0, "batch.B": 3, "batch.accum": 2, "batch.T": 8}
        )
        pilot.app.screen.refresh_now()
        await pilot.press("]", "]")
        held = held_at(bench, 2)
        offsets = rows_of(bench, held).offsets(held.first, 6).tolist()
        assert held.first == 12
        lines = drawn(pane(pilot))
        assert line_with(lines, "B·T·accum = 3·8·2 = 48 predictions")
        for n, offset in enumerate(offsets[:2]):
            row = line_with(lines, f"row {n} m1 x ")
            text = (SENTENCE * 9)[offset : offset + 8].replace(" ", "·")
            assert f"x {text}" in row
            assert line_with(lines, f"@{offset:,}")
        await pilot.press("down", "down", "down", "down")
        assert line_with(drawn(pane(pilot)), "row 4 m2 x ")
        assert "record 2" in pane(pilot).caption()
        assert "rows 12–17" in pane(pilot).caption()


async def test_a_simulated_world_shows_every_ranks_slice(app: Any) -> None:
    async with app("to-be", size=(120, 35), world=2) as pilot:
        lines = drawn(pane(pilot))
        assert line_with(lines, "B·T·world = 4·8·2 = 64 predictions")
        assert line_with(lines, "row 3 r0 x ")
        assert line_with(lines, "row 4 r1 x ")


async def test_windows_ask_one_prediction_a_row(app: Any) -> None:
    names = {
        "name": "names", "data": {"text": "anna\nbob\ncy\n" * 20, "split": "lines", "layout": "windows"},
        "batch": {"B": 8, "T": 3}, "model": {"kind": "mlp"}, "schedule": {"warmup": 0},
    }  # fmt: skip
    async with app(names, size=(120, 35)) as pilot:
        lines = drawn(pane(pilot))
        assert line_with(lines, "B = 8 predictions, one a row")
        assert line_with(lines, "[8, 3] → [8, 7]")
        sheet = pane(pilot)._sheets.now()
        page = sheet.page(0, 8)
        for n in range(4):
            x, y = ("".join(page.pieces[i] for i in ids[n]).replace("\n", "↵") for ids in (page.x, page.y))
            assert f"x {x} → {y}" in line_with(lines, f"row {n} @")


async def test_a_row_that_is_wider_than_the_pane_is_scrolled_with_the_cursor(app: Any) -> None:
    async with app("to-be", size=(60, 16)) as pilot:
        pilot.app.bench.change({"data.text": SENTENCE * 3, "data.val_fraction": 0.0, "batch.B": 2, "batch.T": 120})
        pilot.app.bench.starts = (0, 5)
        pilot.app.screen.refresh_now()
        before = line_with(drawn(pane(pilot)), "x  First").rstrip()
        assert before.endswith("…")
        pane(pilot).action_cursor(80, 0)
        after = line_with(drawn(pane(pilot)), "x …")
        assert SENTENCE[85].replace(" ", "·") in after
        assert line_with(drawn(pane(pilot)), f"comes `{(SENTENCE * 3)[86]}`")


async def test_tokens_of_many_characters_stand_in_columns_of_one_width(app: Any) -> None:
    document = {
        "data": {"text": SENTENCE * 20, "val_fraction": 0.0, "tokenizer": "bpe:300"}, "batch": {"B": 2, "T": 24},
        "schedule": {"warmup": 0},
    }  # fmt: skip
    async with app(document, size=(80, 24)) as pilot:
        pilot.app.bench.starts = (0, 3)
        pilot.app.screen.refresh_now()
        batch = pane(pilot)
        page = batch._sheets.now().page(0, 2)
        width = batch._place.columns.width
        assert 1 < width <= 12
        lines = drawn(batch)
        at = next(i for i, line in enumerate(lines) if "row 1 x " in line)
        x, y = lines[at], lines[at + 1]
        begin = x.index(" x ") + 3 + batch._place.columns.cut
        for j in range(4):
            column = slice(begin + j * width, begin + (j + 1) * width)
            assert x[column] == cell(page.pieces[page.x[1][j]], width)
            assert y[column] == cell(page.pieces[page.y[1][j]], width) == cell(page.pieces[page.x[1][j + 1]], width)
        backgrounds = [batch.ink(f"token-{n}").bgcolor for n in range(2)]
        assert [s.style.bgcolor for s in batch.render_line(at + 1) if s.text.strip()][3:5] in (
            backgrounds, backgrounds[::-1],
        )  # fmt: skip


async def test_another_corpus_is_told_and_no_wrong_rows_are_shown(app: Any, made_run: Any) -> None:
    run = made_run("to-be", records=20)
    resolved = {
        "format": 1, "corpus": {"fingerprint": "abcdef0123456789"}, "precision": "fp32", "attention": "sdpa",
        "compile": False, "device": "cpu", "threads": 1,
    }  # fmt: skip
    (run / "resolved.json").write_text(json.dumps(resolved))
    async with app(run=run) as pilot:
        lines = drawn(pane(pilot))
        assert "trained on another text" in " ".join(lines)
        assert "abcdef01" in " ".join(lines)
        assert not any("row 0 x" in line for line in lines)


async def test_without_a_text_it_says_what_to_do(app: Any) -> None:
    async with app("shakespeare", size=(80, 24)) as pilot:
        assert "enter on Data (1) fetches it" in " ".join(drawn(pane(pilot)))


async def test_escape_codes_of_a_corpus_are_shown_and_not_sent(app: Any) -> None:
    async with app("to-be", size=(80, 24)) as pilot:
        pilot.app.bench.change({"data.text": "a\x1b[31mb\x07\ncdefghij" * 5, "data.val_fraction": 0.0, "batch.T": 8})
        pilot.app.bench.starts = (0,)
        pilot.app.screen.refresh_now()
        lines = drawn(pane(pilot))
        assert line_with(lines, "x a␛[31mb␇")
        assert not any("\x1b" in line or "\x07" in line for line in lines)


@pytest.mark.parametrize("plain", [False, True], ids=["colours", "no-colour"])
async def test_hash_losses_and_mean_are_the_workers_own(
    app: Any, tmp_path: Path, train: Any, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    doc = {
        "name": "tiny", "data": {"text": SENTENCE * 8, "val_fraction": 0.0}, "batch": {"B": 3, "T": 8, "accum": 2},
        "model": {"layers": 1, "heads": 1, "width": 16}, "schedule": {"steps": 300, "warmup": 1},
        "eval": {"every": 0}, "sample": {"every": 0}, "checkpoint": {"every": 0}, "device": {"threads": 1},
    }  # fmt: skip
    ran = train(doc, after={0: [{"command": "inspect", "top": 5}]})
    if plain:
        monkeypatch.setenv("NO_COLOR", "1")
    async with app(run=ran.path, size=(120, 50)) as pilot:
        bench = pilot.app.bench
        looking: Looking = bench.looking
        looking._asked[ran.sent[0]] = 0.0
        looking.hear(bench.run)
        told = looking.latest
        assert told is not None
        bench.step = told.step
        pilot.app.screen.refresh_now("looked", "rows")
        lines = drawn(pane(pilot))
        assert f"hash {told.hash[:8]} ✓ worker" in pane(pilot).caption()
        logged = float(ran.records[told.step]["loss"])
        mean = float(np.mean(told.losses, dtype=np.float64))
        assert abs(mean - logged) < 1e-6
        assert line_with(lines, f"mean of 48 cells {logged:.4f} = logged {logged:.4f} ✓")
        loss = float(told.losses[0, 5])
        assert line_with(lines, f": {loss:.2f} nats, p = {np.exp(-loss):.2g}")
        assert line_with(lines, "guesses ")
        at = next(i for i, line in enumerate(lines) if "row 0 m1 x" in line)
        if plain:
            assert set(lines[at + 2].strip()[:8]) <= set("▁▂▃▄▅▆▇█")
        else:
            shades = {pane(pilot).ink(f"shade-{n}").bgcolor for n in range(8)}
            assert shades & {segment.style.bgcolor for segment in pane(pilot).render_line(at + 1)}
        bench.step = 0
        pilot.app.screen.refresh_now("rows")
        assert not any("mean of" in line for line in drawn(pane(pilot))), "only the step that was looked at is shaded"


@pytest.mark.parametrize("state", ["paused", "done"])
async def test_every_screen_on_a_run_that_stands_still_shows_the_same_record(
    app: Any, made_run: Any, state: str
) -> None:
    """One that watched it fly past has looked into an earlier record: that one is shown while it flies, no longer."""
    run = made_run(records=50, state="running", edit=0)
    document = json.loads((run / "status.json").read_text())
    shown: list[list[str]] = []
    async with app(run=run, size=(80, 24)) as pilot:
        bench = pilot.app.bench
        held = held_at(bench, 30)
        rows = rows_of(bench, held)
        assert rows is not None
        x, y = batch(bench.text.corpus.splits["train"], rows.offsets(held.first, 4), rows.T, None)
        bench.looking.remember(looked_into(30, x, y))
        assert shown_step(bench) == 30
        replace_json(run / "status.json", document | {"state": state})
        await until(pilot, lambda: bench.run.state == state)
        await pilot.press("2")
        await pilot.pause()
        shown.append([*drawn(pane(pilot)), pane(pilot).caption()])
    for _ in range(2):
        async with app(run=run, size=(80, 24)) as pilot:
            await pilot.press("2")
            await pilot.pause()
            assert shown_step(pilot.app.bench) == 49
            shown.append([*drawn(pane(pilot)), pane(pilot).caption()])
    assert shown[0] == shown[1] == shown[2]


def test_what_flies_past_stays_for_two_seconds_from_when_it_was_known(bench: Any, made_run: Any) -> None:
    now = 100.0
    it = bench(run=made_run(records=70, state="running", edit=0), clock=lambda: now)
    sheets, run = Sheets(it), it.run
    records = (run.path / "steps.bin").read_bytes()
    os.truncate(run.path / "steps.bin", 50 * DTYPE.itemsize)
    run.state = "running"  # as it is while its first look has not come to the records
    assert sheets.now().step == 0
    while run.reading:
        run.look()
    assert sheets.now().step == 49, "it was not at the first record: it had not been read"
    (run.path / "steps.bin").write_bytes(records)
    run.look()
    assert len(run.curves) == 70
    now += FOLLOWED_EVERY - 0.1
    assert sheets.now().step == 49
    now += 0.2
    assert sheets.now().step == 69


def looked_into(step: int, x: Any, y: Any) -> Inspected:
    """What a worker tells of a step with these rows, all of their losses zero."""
    zeros = np.zeros(x.shape, np.float32)
    top = np.zeros((*x.shape, 5), np.float32)
    return Inspected(
        x=x.astype(np.int32), y=y.astype(np.int32), losses=zeros, guesses=top.astype(np.int32), chances=top,
        micro_losses=np.zeros(1), micro_norms=np.zeros(1), hash=fingerprint([x], [y]), step=step, rows_before=4 * step,
        loss=0.0, grad_norm=0.0, clip_coefficient=1.0, lr=0.0, update_ratio=None, B=4, T=16, accum=1, world=1,
    )  # fmt: skip


async def test_nothing_is_sent_again_that_has_not_changed(app: Any) -> None:
    async with app("to-be") as pilot:
        await pilot.pause()
        sent: list[Any] = []
        batch = pane(pilot)
        batch.refresh = lambda *regions, **_: sent.append(regions)
        batch.heard({"records", "status", "rows", "looked"})
        await asyncio.sleep(0)
        assert sent == []
