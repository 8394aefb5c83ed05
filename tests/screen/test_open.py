"""Opening a file or a folder: completion, the tree, and that nothing changes before it can be learnt from."""

import asyncio

import pytest
from strips import drawn, until
from textual import events
from textual.widgets import DirectoryTree, Input, Static

from workbench.screen.dialogs.open import OpenPath
from workbench.screen.frame.slots import DATA


def pane_of(pilot):
    return pilot.app.screen_stack[0].house.pane(DATA)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "one.txt").write_text("the first note says this\n" * 40)
    (tmp_path / "notes" / "two.md").write_text("the second one says that\n" * 40)
    (tmp_path / "novel.txt").write_text("It was the best of times, it was the worst of times.\n" * 40)
    (tmp_path / "binary.dat").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "wide.txt").write_text("text\n" * 40, encoding="utf-16")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "\x1b[31mred.txt").write_text("x\n")
    (tmp_path / "[b]bold.txt").write_text("x\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def wrong(pilot):
    return str(pilot.app.screen.query_one(".wrong", Static).render())


async def test_a_path_is_completed_tried_and_taken(app, folder):
    async with app("to-be", size=(80, 24)) as pilot:
        bench = pilot.app.bench
        await pilot.press("1", "o")
        await until(pilot, lambda: isinstance(pilot.app.screen, OpenPath))
        await pilot.press("n", "o", "v", "tab")
        assert pilot.app.screen.query_one(Input).value == "novel.txt"
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(pilot.app.screen, OpenPath))
        assert bench.draft.data.dataset == str(folder / "novel.txt")
        await until(pilot, lambda: bench.text.corpus is not None)
        assert bench.text.corpus.characters == 53 * 40
        await pilot.pause(0.3)
        assert any("● novel.txt" in line for line in drawn(pane_of(pilot)))


async def test_a_folder_is_a_corpus_too(app, folder):
    async with app("to-be") as pilot:
        await pilot.press("1", "o")
        await until(pilot, lambda: isinstance(pilot.app.screen, OpenPath))
        await pilot.press(*"no", "tab")
        candidates = str(pilot.app.screen.query_one("#candidates", Static).render())
        assert candidates.split() == ["notes/", "novel.txt"]
        await pilot.press(*"tes/", "enter")
        await until(pilot, lambda: pilot.app.bench.text.corpus is not None and not pilot.app.bench.draft.data.text)
        assert pilot.app.bench.text.corpus.characters == 2 * 25 * 40


@pytest.mark.parametrize(
    ("name", "reason"),
    [("binary.dat", "binary"), ("wide.txt", "UTF-16"), ("empty.txt", "empty"), ("gone.txt", "does not exist"),
     ("", "expected")],
)  # fmt: skip
async def test_what_cannot_be_learnt_from_says_why_and_changes_nothing(app, folder, name, reason):
    async with app("to-be") as pilot:
        before, corpus = pilot.app.bench.draft, pilot.app.bench.text.corpus
        await pilot.press("1", "o")
        await until(pilot, lambda: isinstance(pilot.app.screen, OpenPath))
        pilot.app.screen.query_one(Input).value = name
        await pilot.press("enter")
        await until(pilot, lambda: reason in wrong(pilot))
        assert isinstance(pilot.app.screen, OpenPath)
        await pilot.press("escape")
        await pilot.pause()
        assert pilot.app.bench.draft is before
        assert pilot.app.bench.text.corpus is corpus


async def test_the_tree_offers_files_and_enter_takes_one(app, folder):
    async with app("to-be") as pilot:
        await pilot.press("1", "o")
        await until(pilot, lambda: isinstance(pilot.app.screen, OpenPath))
        tree = pilot.app.screen.query_one(DirectoryTree)
        await until(pilot, lambda: len(tree.root.children) == 7)  # and the runs
        labels = [str(node.label) for node in tree.root.children]
        assert all(character.isprintable() for label in labels for character in label)
        assert "[b]bold.txt" in labels
        await pilot.press("down", *["down"] * (1 + labels.index("novel.txt")))
        assert pilot.app.screen.query_one(Input).value == "novel.txt"
        await pilot.press("tab")
        assert pilot.app.screen.query_one(Input).has_focus
        await pilot.press("down", "enter")
        await until(pilot, lambda: pilot.app.bench.draft.data.dataset == str(folder / "novel.txt"))


async def test_a_text_that_is_still_read_can_be_given_up(app, folder):
    (folder / "large.txt").write_text("some words to count, and more of them\n" * 400_000)
    async with app("to-be") as pilot:
        before = pilot.app.bench.draft
        await pilot.press("1", "o")
        await until(pilot, lambda: isinstance(pilot.app.screen, OpenPath))
        pilot.app.screen.query_one(Input).value = "large.txt"
        await pilot.press("enter")
        await until(pilot, lambda: "…" in wrong(pilot))
        await pilot.press("escape")
        await asyncio.sleep(0.2)
        assert pilot.app.bench.draft is before


async def test_a_pasted_escape_sequence_does_not_get_into_the_line(app, folder):
    async with app("to-be") as pilot:
        await pilot.press("1", "o")
        await until(pilot, lambda: isinstance(pilot.app.screen, OpenPath))
        pilot.app.post_message(events.Paste("\x1b]52;c;aGk=\x07novel.txt"))
        await pilot.pause(0.1)
        assert pilot.app.screen.query_one(Input).value.isprintable()
