"""The Lab pane's fit, checks, sweeps and comparisons: what they show is what was measured."""

from typing import Any

from rich.cells import cell_len
from strips import HOSTILE, until

from tests.screen.lab_told import CHECK, COMPARED, FIT, PROBES, SCENARIOS, TINY, footer, pane, probe, shown, tell
from workbench.screen.lab import check, fit, fit_chart, sweep, table
from workbench.screen.lab.table import Table

# --------------------------------------------------------------------------------------- fit


async def test_a_fit_grows_and_its_rows_are_taken(app: Any) -> None:
    async with app("char", size=(120, 35)) as pilot:
        await pilot.press("9", "f")
        pane(pilot).view.begin()
        tell(pilot, PROBES[0])
        assert "3,072" not in shown(pilot)
        tell(pilot, *PROBES[1:])
        assert shown(pilot).index("does not") > shown(pilot).index("48  ")
        tell(pilot, FIT)
        lines = shown(pilot).splitlines()
        assert any("64" in line and "largest" in line for line in lines)
        assert any("48" in line and "fastest" in line for line in lines)
        assert "●" in shown(pilot), "the chart"
        await pilot.press("down", "down", "down", "enter")
        batch = pilot.app.bench.draft.batch
        assert (batch.B, batch.accum) == (2, 24)
        await pilot.press("down", "down", "down", "enter")
        assert (pilot.app.bench.draft.batch.B) == 2, "what did not fit is not taken"


def test_its_chart_marks_every_size_and_the_limit() -> None:
    for width in (30, 34, 64, 120):
        for height in (6, 9, 18):
            lines = fit_chart.lines(PROBES, 256 << 20, width, height)
            assert len(lines) == height
            assert all(sum(cell_len(text) for text, _ in line) == width for line in lines)
    text = "\n".join("".join(part for part, _ in line) for line in fit_chart.lines(PROBES, 256 << 20, 80, 20))
    assert "limit" in text
    assert "memory, MiB" in text
    assert text.count("●") == 8
    assert all(str(B) in text for B in (1, 2, 96))
    fit_chart.lines([probe(1, fits=False)], None, 40, 9)


async def test_scenarios_are_a_table_and_sentences(app: Any) -> None:
    async with app("char", size=(120, 35)) as pilot:
        await pilot.press("9", "f", "right")
        assert pane(pilot).view.words() == ["fit", "-", "--scenarios"]
        pane(pilot).view.begin()
        tell(pilot, *SCENARIOS)
        assert "A  128      1         32,768        –  out of memory" in shown(pilot)


async def test_a_limit_is_typed(app: Any) -> None:
    async with app("char", size=(120, 35)) as pilot:
        await pilot.press("9", "f", "down", "enter", *"lots", "enter")
        await pilot.pause()
        assert "expected an amount such as 2GiB" in str(pilot.app.screen.query_one(".wrong").content)
        await pilot.press(*["backspace"] * 4, *"1.5GiB", "enter")
        await pilot.pause()
        assert pane(pilot).view.words() == ["fit", "-", "--memory-limit", "1.5GiB"]
    assert [fit.wrong_limit(text) == "" for text in ("", "2GiB", "512 MiB", "-1GiB", "GiB", "0")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


async def test_beside_a_run_it_asks_first(app: Any, made_run: Any) -> None:
    run = made_run(records=50, state="running", edit=False)
    async with app(run=run, size=(120, 35)) as pilot:
        await pilot.press("9", "f")
        assert "a run is training here" in shown(pilot)
        await pilot.press("r")
        await pilot.pause()
        assert len(pilot.app.screen_stack) == 2
        await pilot.press("n")
        await pilot.pause()
        assert pane(pilot).asking is None


async def test_a_read_only_screen_starts_nothing(app: Any, made_run: Any) -> None:
    run = made_run(records=50, state="running", edit=False)
    async with app(run=run, read_only=True, size=(200, 60)) as pilot:
        for key in "fcs":
            await pilot.press("9", key, "r", *["up"] * 4, "enter", "escape")
            await pilot.pause(0.2)
            assert pane(pilot).asking is None
            assert "r measure" not in footer(pilot)
        await pilot.press("p", "down", "right", "a")
        assert pilot.app.bench.staged == {}
        assert pane(pilot).plan.plan.B == 8, "it may be looked at all the same"
        await pilot.press("m")
        assert "r measure" in footer(pilot)


# --------------------------------------------------------------------------------------- check, tables


def test_a_table_breaks_headers_and_texts_before_it_leaves_columns_out() -> None:
    made = Table.of(
        "t", ["B", "the largest difference", "what happens"], [[1, 2.5e-7, "one two three four five six"], [64, 0, "x"]]
    )
    for width in range(8, 90):
        lines, begins = table.lines(made, width)
        assert all(sum(cell_len(text) for text, _ in line) <= width for line in lines), width
        assert len(begins) == 2
    text = "\n".join("".join(part for part, _ in line) for line in table.lines(made, 40)[0])
    assert "2.5e-7" in text
    assert "largest" in text
    assert "six" in text
    assert "… 1 more column" in "".join(part for line in table.lines(made, 16)[0] for part, _ in line)


def test_figures_are_short() -> None:
    told = [table.cell(it) for it in (2.6e-7, 0.0, 12.345, 123456.7, 1e20, 1234567, None, True, float("inf"))]
    assert told == ["2.6e-7", "0", "12.35", "1.2e5", "1.0e20", "1,234,567", "–", "yes", "inf"]
    written = Table.of("", ["a", "b"], [["2.6e-07", "64×1"], ["–", "8×8"], ["1,024", "<3>"]])
    assert written.right == (True, False)


async def test_a_check_shows_its_tables_and_sentences(app: Any) -> None:
    async with app("char", size=(120, 35)) as pilot:
        await pilot.press("9", "c", "0")
        pane(pilot).view.begin()
        tell(pilot, CHECK)
        assert "✓ it holds" in shown(pilot)
        assert "2.6e-7" in shown(pilot)
        assert "All equal." in shown(pilot)
        await pilot.press("right")
        assert "All equal." not in shown(pilot), "that was another check's"
        assert pane(pilot).view.words() == ["check", "gradient", "-"]
        assert tuple(check.ABOUT) == ("accum", "gradient", "last-position")


# --------------------------------------------------------------------------------------- sweep and compare


async def test_a_sweep_is_drawn_as_it_comes_then_compared(app: Any, made_run: Any) -> None:
    paths = [made_run(TINY, records=20, name=f"sweep-{n}") for n in range(6)]
    async with app("char", size=(120, 35)) as pilot:
        await pilot.press("9", "s")
        lab, bench = pane(pilot), pilot.app.bench
        assert lab.view.words()[:4] == ["sweep", "-", "--set", "B=1,32,64"]
        lab.view.begin()
        one = {"type": "run", "label": "B=1", "set": {"batch.B": 1, HOSTILE: 2}, "seed": 1, "step": 3, "steps": 20}
        tell(pilot, one | {"run": None, "state": "starting"})
        assert bench.overlays == []
        tell(pilot, one | {"run": str(paths[0]), "state": "running"}, one | {"run": "/nowhere", "label": "gone"})
        assert [run.path for run in bench.overlays] == paths[:1]
        assert "running" in shown(pilot)
        for n, path in enumerate(paths[1:], 2):
            tell(pilot, one | {"run": str(path), "label": f"B={n}", "state": "done"})
        assert len(bench.overlays) == 4, "as many as can be told apart"
        await pilot.press(*["down"] * 5, "enter")
        assert bench.draft.batch.B == 1
        tell(pilot, COMPARED)
        await pilot.press("0")
        await pilot.pause()
        assert "B=1 against B=32: within noise" in shown(pilot)
        lab._clear_overlays()
        assert bench.overlays == []


def test_what_is_swept_is_checked_before_it_is_started() -> None:
    assert sweep.wrong_set("B=1,32 lr=0.1,0.2") == ""
    assert "expected a key and its values" in sweep.wrong_set("B")
    assert "did you mean" in sweep.wrong_set("BB=1") or "BB" in sweep.wrong_set("BB=1")
    assert "expected a whole number" in sweep.wrong_set("B=one,2")
    assert sweep.wrong_steps("1,000") == ""
    assert sweep.wrong_steps("many") != ""


async def test_compare_needs_two_runs(app: Any, made_run: Any) -> None:
    one, other = made_run(records=20, name="one"), made_run(records=20, name="other")
    async with app(run=one, size=(120, 35)) as pilot:
        await pilot.press("9", "m")
        assert "compare needs two runs" in shown(pilot)
        await pilot.press("r")
        assert pane(pilot).asking is None
        pilot.app.screen.toggle_overlay(other)
        assert pane(pilot).view.words() == ["compare", str(one), str(other), "--x", "steps"]
        await pilot.press("r")
        await until(pilot, lambda: pane(pilot).view.result)
        assert "val" in shown(pilot)
        assert "1337" in shown(pilot)
