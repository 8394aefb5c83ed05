"""The Data pane, on the real application."""

import hashlib
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from strips import HOSTILE, SIZES, drawn, until

from workbench.data import catalog
from workbench.screen.bench.rows import held_at, rows_of
from workbench.screen.data.shelf import Item
from workbench.screen.frame.slots import DATA


def pane_of(pilot):
    return pilot.app.screen_stack[0].house.pane(DATA)


@pytest.mark.parametrize("size", SIZES)
async def test_the_pane_shows_the_list_and_the_chosen_text_at_every_size(app, size):
    async with app("to-be", size=size) as pilot:
        await pilot.press("1")
        await pilot.pause()
        lines = drawn(pane_of(pilot))
        assert any("●" in line and "typed text" in line for line in lines)
        await pilot.press("0")
        await pilot.pause()
        text = "\n".join(drawn(pane_of(pilot)))
        assert "python-docs" in text
        assert "19 characters = tokens" in text
        if size[1] > 16:
            assert "no validation: val_fraction is 0" in text
            assert "To be or not to be." in text


async def test_enter_chooses_and_what_follows_follows(app):
    async with app("to-be") as pilot:
        bench = pilot.app.bench
        await pilot.press("1", *["up"] * 10, *["down"] * 3)  # markov is the fourth
        assert pane_of(pilot).shelf.under_cursor == Item("named", "markov")
        await pilot.press("enter")
        assert bench.draft.data.dataset == "markov"
        await until(pilot, lambda: bench.text.corpus is not None)
        await pilot.press("0")
        await pilot.pause(0.3)
        text = "\n".join(drawn(pane_of(pilot)))
        assert "● markov" in text
        assert "1,000,000 characters = tokens" in text
        assert rows_of(bench, held_at(bench, 0)) is not None
        await pilot.press("u", "u")  # the prompt, which markov could not begin with, and the text
        assert bench.draft.data.text.startswith("To be")


async def test_a_prompt_that_the_chosen_text_lacks_becomes_a_newline(app):
    async with app("to-be") as pilot:
        bench = pilot.app.bench
        assert bench.draft.sample.prompt == "To be"
        pane = pane_of(pilot)
        await pilot.press("1")
        pane.choose(Item("named", "markov"))
        await until(pilot, lambda: bench.text.corpus is not None and bench.draft.sample.prompt == "\n")
        await pilot.press("u")
        assert bench.draft.sample.prompt == "To be"
        await pilot.press("0")
        await pilot.pause()
        assert any("'T'" in line for line in drawn(pane))  # told, since a run would fail of it


async def test_running_text_after_a_list_tells_what_it_changed(app):
    async with app("names") as pilot:
        bench = pilot.app.bench
        said = []
        bench.tell = lambda text, level="said": said.append(text)
        pane_of(pilot).choose(Item("named", "markov"))
        assert (bench.draft.data.split, bench.draft.data.layout) == ("tail", "windows")
        assert said == ["markov; with it split = tail (markov is running text)"]


async def test_while_a_run_is_alive_another_text_is_staged_for_a_new_run(app, made_run):
    run = made_run(state="running", records=20)
    async with app(run=run) as pilot:
        bench = pilot.app.bench
        await until(pilot, lambda: bench.alive)
        said = []
        bench.tell = lambda text, level="said": said.append(text)
        await pilot.press("1")
        pane_of(pilot).choose(Item("named", "markov"))
        assert bench.needs_new_run == ["data.dataset"]
        assert bench.now.data.text
        assert "needs a new run" in said[0]
        await pilot.pause()
        lines = drawn(pane_of(pilot))
        assert any(line.startswith("* markov") and "staged" in line for line in lines)
        assert any(line.startswith("● typed text") for line in lines)
        pane_of(pilot).choose(pane_of(pilot).shelf.chosen)
        assert not bench.staged


async def test_a_read_only_screen_chooses_nothing(app, made_run):
    async with app(run=made_run(records=20), read_only=True) as pilot:
        before = pilot.app.bench.draft
        await pilot.press("1", "up", "enter")
        assert pilot.app.bench.draft is before


# ------------------------------------------------------------------------------- fetching


@pytest.fixture
def served(monkeypatch, tmp_path):
    """`names`, from a server here that keeps the second half back until the event is set."""
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    body = "".join(f"name{n}\n" for n in range(20_000)).encode()
    release = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            release.wait(20)
            self.wfile.write(body[len(body) // 2 :])

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    dataset = replace(
        catalog.DATASETS["names"], url=f"http://127.0.0.1:{server.server_port}/names.txt", bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(), characters=len(body), lines=20_000,
    )  # fmt: skip
    monkeypatch.setitem(catalog.DATASETS, "names", dataset)
    # The process that fetches reads the catalog for itself.
    (tmp_path / "sitecustomize.py").write_text(
        "from workbench.data import catalog\nfrom workbench.data.catalog import Dataset\n"
        f"catalog.DATASETS['names'] = {dataset!r}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield release
    release.set()
    server.shutdown()
    server.server_close()


async def test_a_dataset_that_is_not_here_says_so_and_offline_says_what_to_do(app, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WORKBENCH_OFFLINE", "1")
    async with app("to-be", size=(120, 35)) as pilot:
        bench = pilot.app.bench
        await pilot.press("1", "0", *["up"] * 10, *["down"] * 5)
        await pilot.pause()
        text = " ".join("\n".join(drawn(pane_of(pilot))).split())
        assert "to be fetched" in text
        assert "enter fetches" in text
        await pilot.press("enter")
        await until(pilot, lambda: bench.text.error)
        await pilot.pause(0.4)
        lines = [line.partition("│")[2].strip() for line in drawn(pane_of(pilot))]
        told = " ".join(" ".join(lines).split())
        assert " ".join(bench.text.error.split()).replace(" ", "") in told.replace(" ", "")
        assert "WORKBENCH_OFFLINE is set" in told
        assert "enter tries again" in told


async def test_a_download_shows_how_far_it_is_can_be_cancelled_and_goes_on(app, served):
    async with app("to-be", size=(120, 35)) as pilot:
        bench = pilot.app.bench
        await pilot.press("1")
        pane_of(pilot).choose(Item("named", "names"))
        assert bench.draft.data.split == "lines"
        await until(pilot, lambda: bench.text.phase.endswith("%"))
        await until(
            pilot, lambda: any("● names" in line and line.rstrip().endswith("%") for line in drawn(pane_of(pilot)))
        )
        assert any("█" in line and "░" in line for line in drawn(pane_of(pilot)))
        await pilot.press("x")
        await pilot.pause()
        assert "cancelled" in bench.text.error
        assert bench.text.corpus is None
        await pilot.press("enter")
        await until(pilot, lambda: bench.text.phase.endswith("%"))
        served.set()
        await until(pilot, lambda: bench.text.corpus is not None)
        assert bench.text.corpus.n_lines == 20_000
        await until(pilot, lambda: "lines: lines are shuffled" in "\n".join(drawn(pane_of(pilot))) or bench.text.floors)


# ------------------------------------------------------------------------------- edges and hostile text


@pytest.mark.parametrize(("size", "look"), list(zip(SIZES, ["dark", "terminal"] * 2, strict=True)))
async def test_a_hostile_text_is_drawn_harmless_at_every_size(app, size, look):
    document = {"name": "hostile", "data": {"text": HOSTILE * 40}, "batch": {"B": 2, "T": 8}, "device": {"threads": 1}}
    async with app(document, size=size, look=look) as pilot:
        await pilot.press("1")
        for keys in ([], ["e"], ["0"], ["e"]):
            await pilot.press(*keys)
            await pilot.pause()
            assert any("typed text" in line for line in drawn(pane_of(pilot)))


async def test_edges_are_grounds_in_colour_and_bars_without(app):
    for look, bars in (("dark", False), ("terminal", True)):
        async with app("to-be", look=look) as pilot:
            await pilot.press("1", "0", "e")
            await pilot.pause()
            text = "\n".join(drawn(pane_of(pilot)))
            assert ("T|o|·|b|e|·|o|r" in text) is bars
            assert ("To·be·or·not" in text) is not bars


async def test_a_hostile_file_name_is_harmless(app, tmp_path):
    path = tmp_path / "\x1b]52;c;aGk=\x07日本\u202e[red]x.txt"
    path.write_text("plain words to learn from\n" * 40)
    async with app("to-be", size=(120, 35)) as pilot:
        await pilot.press("1")
        pane_of(pilot).choose(Item("path", str(path)))
        await until(pilot, lambda: pilot.app.bench.text.corpus is not None)
        for keys in ([], ["0"]):
            await pilot.press(*keys)
            await pilot.pause()
            drawn(pane_of(pilot))


async def test_a_click_moves_the_cursor_and_a_second_one_chooses(app):
    async with app("to-be", size=(120, 35)) as pilot:
        await pilot.press("1")
        await pilot.pause()
        pane = pane_of(pilot)
        top = pane._list_at[0]
        await pilot.click(pane, offset=(6, 1))
        assert pane.shelf.cursor == top
        assert pilot.app.bench.draft.data.text
        await pilot.click(pane, offset=(6, 1), times=2)
        assert pilot.app.bench.draft.data.dataset == pane.shelf.items[top].value
