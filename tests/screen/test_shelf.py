"""The list of texts, and what choosing one takes, without a screen."""

import pytest

from workbench import preset as presets
from workbench.data.corpus import open_corpus
from workbench.screen.data.shelf import Item, Shelf, choice, counted, short


def chosen(preset, item):
    changes, words = choice(preset, item)
    return presets.apply(preset, changes), words


def test_running_text_after_a_list_is_split_by_its_tail_and_streams():
    gpt_on_names = presets.apply(
        presets.load("char").preset, {"data.dataset": "unicode-names", "data.split": "lines", "data.layout": "windows"}
    )
    after, words = chosen(gpt_on_names, Item("named", "markov"))
    assert (after.data.dataset, after.data.split, after.data.layout) == ("markov", "tail", "stream")
    assert len(words) == 2


def test_a_list_after_running_text_is_split_by_lines():
    after, words = chosen(presets.load("char").preset, Item("named", "names"))
    assert (after.data.split, after.data.layout, after.model.kind) == ("lines", "stream", "gpt")
    assert words == ["split = lines (names is a list, one entry a line)"]


def test_an_mlp_keeps_the_windows_that_it_reads():
    after, _ = chosen(presets.load("unicode-names").preset, Item("named", "python-docs"))
    assert (after.data.split, after.data.layout, after.model.kind) == ("tail", "windows", "mlp")


@pytest.mark.parametrize("preset", sorted(presets.shipped()))
@pytest.mark.parametrize("name", ["python-docs", "python-source", "unicode-names", "markov", "shakespeare", "names"])
def test_every_shipped_preset_takes_every_dataset(preset, name):
    after, _ = chosen(presets.load(preset).preset, Item("named", name))
    assert after.data.dataset == name
    assert not after.data.text


def test_a_large_validation_share_gives_way_to_lines():
    half = presets.apply(presets.load("char").preset, {"data.val_fraction": 0.6})
    after, words = chosen(half, Item("named", "unicode-names"))
    assert after.data.val_fraction == 0.1
    assert any("val_fraction" in word for word in words)


def test_a_file_of_tokens_gets_a_fixed_tokenizer_and_no_lines(tmp_path):
    (tmp_path / "train.bin").write_bytes(b"\1\0\2\0")
    lines = presets.apply(presets.load("char").preset, {"data.dataset": "names", "data.split": "lines"})
    after, words = chosen(lines, Item("path", str(tmp_path / "train.bin")))
    assert (after.data.tokenizer, after.data.split, after.data.layout) == ("gpt2", "tail", "stream")
    assert len(words) == 2
    (tmp_path / "plain.txt").write_text("text")
    after, words = chosen(lines, Item("path", str(tmp_path / "plain.txt")))
    assert (after.data.tokenizer, after.data.split, words) == ("char", "lines", [])


def test_the_list_has_the_named_ones_then_paths_then_the_typed_text(bench, tmp_path):
    made = bench("to-be")
    shelf = Shelf(made)
    assert [item.kind for item in shelf.items] == ["named"] * 6 + ["text"]
    assert shelf.under_cursor == shelf.chosen == Item("text", made.draft.data.text)
    path = tmp_path / "own.txt"
    path.write_text("a text\n" * 50)
    assert made.change({"data.dataset": str(path)})
    shelf.look()
    assert [item.kind for item in shelf.items] == ["named"] * 6 + ["path", "text"]
    assert shelf.chosen == shelf.under_cursor == Item("path", str(path))
    assert shelf.places[shelf.chosen] == "here"
    path.unlink()
    shelf.look()
    assert shelf.places[shelf.chosen] == ""


def test_what_is_kept_is_counted_and_what_is_not_has_the_catalogs_figure(bench, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    made = bench("char")
    shelf = Shelf(made)
    markov = Item("named", "markov")
    assert shelf.known[markov].tokens is None
    assert shelf.known[markov].characters == 1_000_000
    wanted = dict(shelf.unseen())
    assert Item("named", "names") not in wanted  # nobody has fetched it
    assert counted(wanted[markov]) is None
    corpus = open_corpus(wanted[markov])
    shelf.learn(markov, wanted[markov], counted(wanted[markov]))
    shelf.look()
    assert shelf.known[markov].tokens == 1_000_000
    assert shelf.known[markov].vocabulary == corpus.tokenizer.vocab_size == 10
    assert markov not in dict(shelf.unseen())
    made.change({"data.tokenizer": "byte"})
    shelf.look()
    assert shelf.known[markov].tokens is None  # of this tokenizer nobody has counted them
    assert markov in dict(shelf.unseen())


def test_the_cursor_stays_on_the_list(bench):
    shelf = Shelf(bench("to-be"))
    shelf.move(100)
    assert shelf.cursor == len(shelf.items) - 1
    shelf.move(-100)
    assert shelf.cursor == 0


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (19, "19"), (999, "999"), (1000, "1.0k"), (9_960, "10k"), (465_213, "465k"), (999_600, "1.0M"),
     (1_115_394, "1.1M"), (12_000_000, "12M"), (1_200_000_000, "1.2G")],
)  # fmt: skip
def test_counts_are_short(count, shown):
    assert short(count) == shown
