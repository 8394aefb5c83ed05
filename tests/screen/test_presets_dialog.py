"""Presets out and in, and a text of one's own: what is saved is what was on the screen, and nothing is lost unasked."""

import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual import events
from textual.pilot import Pilot
from tiny_runs import TEXT

from workbench import preset as presets
from workbench.data.corpus import open_corpus
from workbench.data.prompts import prompt_of
from workbench.data.rows import Rows
from workbench.preset import Preset, saving
from workbench.preset.saving import NotSaved
from workbench.screen.bench import fitting
from workbench.screen.bench.rows import held_at, rows_of
from workbench.screen.bench.saving import first_line
from workbench.screen.dialogs.corpus import RawText

SHIPPED = sorted(presets.shipped())
HOSTILE = "\x1b[31mred\x1b[0m\x07 \x1b]52;c;aGk=\x07\r\n\x0b\x0c\x1c\x85\u2028\u2029"
HOSTILE += "\u202e\u200d\U000f0000\ue000 e\u0301 日本 \t."


# --------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("name", SHIPPED)
def test_a_saved_preset_is_the_preset(name: str, tmp_path: Path) -> None:
    preset = presets.load(name).preset
    saving.save(tmp_path / "a.toml", preset)
    assert presets.load(str(tmp_path / "a.toml")).preset == preset


@settings(max_examples=40, deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), lr=st.floats(1e-4, 10),
    seed=st.integers(0, 2**63 - 1), clip=st.floats(0, 1e12), kind=st.sampled_from(["adamw", "sgd", "muon"]),
    name=st.sampled_from(SHIPPED),
)  # fmt: skip
def test_edited_settings_survive_the_file(
    tmp_path_factory: pytest.TempPathFactory, text: str, lr: float, seed: int, clip: float, kind: str, name: str
) -> None:
    edits = {"data.text": text, "sample.prompt": text, "seed": seed, "optimizer.clip": clip, "optimizer.kind": kind,
             "schedule.min_lr": lr / 10, "optimizer.lr": lr}  # fmt: skip
    preset = presets.apply(presets.load(name).preset, edits)
    path = tmp_path_factory.mktemp("saved") / "a.toml"
    saving.save(path, preset)
    assert presets.to_document(presets.load(str(path)).preset) == presets.to_document(preset)


def test_comments_are_told_from_strings() -> None:
    text = '# one\na = "# no" # two\nb = \'# no\'\nc = """\n# no "" \\""" # no\n"""\nd = \'\'\'\n# no\n\'\'\' # three\n'
    assert saving.comments(text) == ["one", "two", "three"]
    for path in presets.shipped().values():
        assert first_line(path)


def test_an_old_file_keeps_its_mode_and_a_link_its_place(tmp_path: Path) -> None:
    real, link = tmp_path / "real.toml", tmp_path / "link.toml"
    real.write_text("")
    real.chmod(0o640)
    link.symlink_to(real)
    saving.save(link, presets.load("to-be").preset)
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert presets.load(str(real)).preset.name == "to-be"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.toml", "real.toml"]


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ("", "expected a path"),
        ("{}/", "is a folder"),
        ("{}", "is a folder"),
        ("{}/no/a.toml", "no such folder"),
        ("{}/pipe.toml", "not a regular file"),
    ],
)
def test_a_place_that_is_none_is_told(tmp_path: Path, typed: str, wrong: str) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(NotSaved, match=wrong):
        saving.target(typed.format(tmp_path))


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    """A name that is too long stands for every disk that refuses: the tests may run as root, whom no mode stops."""
    with pytest.raises(NotSaved, match="cannot be written"):
        saving.save(tmp_path / ("x" * 300), presets.load("to-be").preset)
    (tmp_path / "a.toml").write_text("seed = 1\n")
    too_long = presets.apply(presets.load("to-be").preset, {"data.text": "é" * 2**20})
    with pytest.raises(NotSaved, match="too long"):
        saving.save(tmp_path / "a.toml", too_long)
    assert (tmp_path / "a.toml").read_text() == "seed = 1\n"
    assert [p.name for p in tmp_path.iterdir()] == ["a.toml"]


# --------------------------------------------------------------------------------------- the dialogs


async def test_saving_suggests_a_file_and_what_it_saves_is_what_y_names(
    app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_RUNS", str(tmp_path / "runs"))
    async with app("to-be") as pilot:
        bench = pilot.app.bench
        bench.change({"batch.B": 2})
        await pilot.press("ctrl+s")
        assert line(pilot) == "./to-be.toml"
        await pilot.press("enter")
        await settled(pilot)
        assert presets.load("to-be.toml").preset == bench.draft
        assert not bench.unsaved
        await pilot.press("y")
        assert pilot.app.clipboard == "workbench --headless ./to-be.toml"
        await pilot.press("escape", "ctrl+s")
        assert line(pilot) == str(tmp_path / "to-be.toml")


async def test_overwriting_asks_and_says_what_is_lost(
    app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text('# why\nname = "mine"  # and this\n')
    async with app(str(tmp_path / "mine.toml")) as pilot:
        pilot.app.bench.change({"batch.B": 2})
        await pilot.press("ctrl+s", "enter")
        await settled(pilot)
        assert "2 comments would be lost" in words(pilot)
        await pilot.press("n")
        await settled(pilot)
        assert Path("mine.toml").read_text().startswith("# why")
        assert line(pilot) == str(tmp_path / "mine.toml")
        await pilot.press("enter")
        await settled(pilot)
        await pilot.press("o")
        await settled(pilot)
        assert presets.load("mine.toml").preset == pilot.app.bench.draft


async def test_a_place_that_cannot_be_had_keeps_the_dialog_and_the_settings(
    app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with app("to-be") as pilot:
        await pilot.press("ctrl+s")
        pilot.app.screen.query_one("Input").value = "/no/such/folder/a.toml"
        await pilot.press("enter")
        assert "no such folder" in str(pilot.app.screen.query_one(".wrong").content)
        pilot.app.screen.query_one("Input").value = f"{tmp_path}/{'x' * 300}.toml"
        await pilot.press("enter")
        assert "too long" in str(pilot.app.screen.query_one(".wrong").content)
        await pilot.press("escape")
        await settled(pilot)
        assert pilot.app.bench.draft == presets.load("to-be").preset


async def test_the_settings_in_force_are_saved_and_not_the_staged_ones(
    app: Any, made_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a live run, edits included, and its context as the preset had it."""
    monkeypatch.chdir(tmp_path)
    async with app(run=made_run(records=50, state="running")) as pilot:
        pilot.app.bench.change({"batch.B": 8})
        await pilot.press("ctrl+s")
        assert "1 staged" in words(pilot)
        await pilot.press("enter")
        await settled(pilot)
        saved = presets.load("tiny.toml").preset
        assert (saved.optimizer.lr, saved.batch.B, saved.model.context) == (1e-2, 4, 0)
        assert pilot.app.bench.staged == {"batch.B": 8}


async def test_opening_lists_completes_and_asks_about_what_is_unsaved(
    app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-presets").mkdir()
    (tmp_path / "my-presets" / "tiny.toml").write_text(
        '# A tiny one.\nname = "tiny"\ndata.text = "abcabc"\nbatch.T = 2\n'
    )
    async with app("to-be") as pilot:
        await pilot.press("ctrl+o", *"mark")
        await pilot.pause()
        assert [o.id for o in pilot.app.screen.query_one("OptionList").options] == ["markov"]
        assert "A text whose best possible loss is known exactly" in str(pilot.app.screen.query_one(".about").content)
        await pilot.press("enter")
        await settled(pilot)
        assert pilot.app.bench.draft.name == "markov"
        pilot.app.bench.change({"batch.B": 2})
        await pilot.press("ctrl+o", *"./my", "tab", *"t", "tab")
        await pilot.pause()
        assert pilot.app.screen.query_one("Input").value == "./my-presets/tiny.toml"
        assert "A tiny one." in str(pilot.app.screen.query_one(".about").content)
        await pilot.press("enter")
        await settled(pilot)
        assert "Unsaved" in str(pilot.app.screen.query_one("Vertical").border_title)
        await pilot.press("n")
        await settled(pilot)
        assert pilot.app.bench.draft.batch.B == 2
        await pilot.press("ctrl+o")
        pilot.app.screen.query_one("Input").value = "./my-presets/tiny.toml"
        await pilot.press("enter")
        await settled(pilot)
        await pilot.press("d")
        await settled(pilot)
        assert pilot.app.bench.draft.data.text == "abcabc"


async def test_a_broken_preset_is_told_in_the_dialog(app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text("batch.Q = 1\n")
    async with app("to-be") as pilot:
        await pilot.press("ctrl+o", *"./bad.toml", "enter")
        await pilot.pause()
        assert "batch.Q" in str(pilot.app.screen.query_one(".wrong").content)
        await pilot.press("escape")
        assert pilot.app.bench.draft.name == "to-be"


# --------------------------------------------------------------------------------------- a text of one's own


@pytest.mark.parametrize("name", ["char", "to-be", "names", "bpe", "first-citizen"])
@pytest.mark.parametrize(
    "text", ["ab", "To be or not to be.", "x" * 5, "one line\nand another\n", TEXT, "日本語の\nテキスト"]
)
def test_a_text_is_fitted_so_that_it_can_be_trained_on(name: str, text: str) -> None:
    """Rows can be drawn, the prompt can be encoded, and what fits already stays as it is."""
    draft = presets.load(name).preset
    if (wrong := fitting.wrong_with(draft, text)) and name == "bpe":
        assert "one token is too short" in wrong  # all of it was merged into one
        return
    assert wrong == ""
    fitted = presets.apply(draft, fitting.own_text(draft, text))
    corpus = open_corpus(fitted.data)
    rows = Rows.of(fitted, tokens=corpus.splits["train"].n)
    assert rows.starts >= fitted.batch.B or fitted.batch.B == 1
    if "val" in corpus.splits:
        assert corpus.splits["val"].n > (0 if fitted.data.layout == "windows" else fitted.batch.T)
    assert prompt_of(fitted.sample.prompt, corpus)
    assert (fitted.data.tokenizer, fitted.eval, fitted.schedule) == (draft.data.tokenizer, draft.eval, draft.schedule)
    assert fitting.own_text(fitted, text) == {"data.text": text}


def test_what_is_fitted_is_told() -> None:
    draft = presets.load("char").preset
    changes = fitting.own_text(draft, "To be or not to be.")
    assert fitting.told(draft, changes) == "fitted to 19 characters: T 64 → 8, B 48 → 8, no validation"
    assert fitting.told(draft, fitting.own_text(draft, TEXT)) == ""


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("", "at least one"), ("a", "too short"), ("a\ud800", "no character"), ("ab" * 10**6, "too long")],
)
def test_a_text_that_cannot_be_trained_on_is_told(text: str, wrong: str) -> None:
    assert wrong in fitting.wrong_with(presets.load("char").preset, text)


@pytest.mark.parametrize("character", ["a", '"', "\n", "\x01", "é", "日"])
def test_a_text_that_is_let_through_fits_into_a_preset(character: str, tmp_path: Path) -> None:
    """What a worker is started with is a preset, and no preset is longer than 1 MiB."""
    draft = presets.load("char").preset
    longest = max(n for n in range(100_000, 1_000_001, 25_000) if not fitting.wrong_with(draft, character * n))
    preset = presets.apply(draft, {"data.text": character * longest})
    saving.save(tmp_path / "a.toml", preset)
    assert presets.load(str(tmp_path / "a.toml")).preset == preset
    assert (tmp_path / "a.toml").stat().st_size > 850_000


async def test_a_pasted_text_is_kept_as_it_is_and_never_drawn_raw(app: Any) -> None:
    async with app("char") as pilot:
        await pilot.press("t")
        area = pilot.app.screen.query_one(RawText)
        area.insert(HOSTILE)
        await pilot.pause()
        assert area.raw == HOSTILE
        for y in range(area.size.height):
            assert not set(area.render_line(y).text) & set("\x1b\x07\r\x0b\x0c\x1c\x85\u2028\u2029\u202e\u200d")
        await pilot.press("ctrl+z")
        assert area.raw == ""
        await pilot.press("ctrl+y", "ctrl+s")
        await settled(pilot)
        assert pilot.app.bench.draft.data.text == HOSTILE


async def test_typing_a_text_shows_its_figures_and_its_rows(app: Any) -> None:
    async with app("char") as pilot:
        await pilot.press("t", *"To be", "enter", *"or not.")
        await pilot.pause()
        counts = str(pilot.app.screen.query_one(".hint").content)
        assert "13 characters · 10 distinct · 0 legal starts at T = 64" in counts
        assert "T 64 → 4" in counts
        await pilot.press("escape")
        assert "again" in str(pilot.app.screen.query_one(".wrong").content)
        await pilot.press("ctrl+s")
        await settled(pilot)
        bench = pilot.app.bench
        assert (bench.draft.data.text, bench.draft.batch.T) == ("To be\nor not.", 4)
        assert rows_of(bench, held_at(bench, 0)).starts == 9


async def test_a_terminals_paste_ends_its_lines_as_ours(app: Any) -> None:
    """A terminal pastes a carriage return for a line's end; a megabyte goes in, more is refused and told."""
    async with app("char") as pilot:
        await pilot.press("t")
        area = pilot.app.screen.query_one(RawText)
        pilot.app.post_message(events.Paste("one\rtwo\r\nthree"))
        await pilot.pause()
        assert area.raw == "one\ntwo\nthree"
        pilot.app.post_message(events.Paste("x" * (fitting.LONGEST + 1)))
        await pilot.pause()
        assert area.raw == "one\ntwo\nthree"
        pilot.app.post_message(events.Paste("\r".join(["a line of text that is pasted"] * 30_000)))
        await pilot.pause()
        assert len(area.raw) > 800_000
        await pilot.press("ctrl+s")
        deadline = time.monotonic() + 10
        while not pilot.app.bench.draft.data.text and time.monotonic() < deadline:
            await pilot.pause(0.05)
        assert pilot.app.bench.draft.data.text.count("\n") == 30_001


def line(pilot: Pilot[int]) -> str:
    value: str = pilot.app.screen.query_one("Input").value  # type: ignore[attr-defined]
    return value


def words(pilot: Pilot[int]) -> str:
    return str(pilot.app.screen.query_one(".words").content)  # type: ignore[attr-defined]


async def settled(pilot: Pilot[int]) -> None:
    """The dialog has gone, and whoever asked has gone on."""
    for _ in range(3):
        await pilot.pause()


def test_a_preset_of_a_text_is_the_same_preset(tmp_path: Path) -> None:
    draft: Preset = presets.load("char").preset
    preset = presets.apply(draft, fitting.own_text(draft, HOSTILE))
    saving.save(tmp_path / "a.toml", preset)
    assert presets.load(str(tmp_path / "a.toml")).preset == preset
