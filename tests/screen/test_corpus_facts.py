"""What is said of a corpus, and its training text with and without edges."""

import math

import pytest
from rich.cells import cell_len
from strips import HOSTILE

from workbench import preset as presets
from workbench.data.corpus import open_corpus
from workbench.data.entropy import Floors
from workbench.screen.data.corpus_facts import (
    Preview,
    facts_of,
    floor_facts,
    flow,
    prompt_trouble,
    why_split,
)
from workbench.screen.frame.paragraph import paragraph


def corpus_of(text, **data):
    preset = presets.from_document({"data": {"text": text, **data}}, source="test")
    return preset, open_corpus(preset.data)


def said(lines):
    return ["".join(text for text, _ in line) for line in lines]


def test_the_figures_are_the_corpus():
    text = "".join(f"line {n}\n" for n in range(100))
    _, corpus = corpus_of(text)
    assert [(fact.label, fact.value) for fact in facts_of(corpus)] == [
        ("characters = tokens", f"{len(text):,}"),
        ("V", str(len(set(text)))),
        ("train", f"{int(len(text) * 0.9):,}"),
        ("val", f"{len(text) - int(len(text) * 0.9):,}"),
        ("distinct", str(len(set(text)))),
        ("lines", "100"),
        ("fingerprint", corpus.fingerprint[:8]),
    ]


def test_a_bpe_says_how_much_a_token_holds():
    text = "the cat sat on the mat. " * 40
    _, corpus = corpus_of(text, tokenizer="bpe:280")
    told = {fact.label: fact.value for fact in facts_of(corpus)}
    tokens = len(corpus.tokenizer.encode(text))
    assert told["tokens"] == f"{tokens:,}"
    assert told["characters"] == f"{len(text):,}"
    assert told["characters per token"] == f"{len(text) / tokens:.2f}"
    assert "distinct" not in told


def test_lines_have_a_test_split_and_say_how_they_are_dealt():
    preset, corpus = corpus_of("".join(f"{n}\n" for n in range(500)), split="lines")
    assert [fact.label for fact in facts_of(corpus)][:5] == ["characters = tokens", "V", "train", "val", "test"]
    assert why_split(preset.data, corpus) == "lines: lines are shuffled, then split 80/10/10"


def test_the_tail_says_why_it_is_not_shuffled():
    preset, corpus = corpus_of("some text " * 50)
    assert why_split(preset.data, corpus) == "tail: the last 10% is validation: a shuffle would leak"
    preset, corpus = corpus_of("some text " * 50, val_fraction=0.0)
    assert why_split(preset.data, corpus) == "no validation: val_fraction is 0"


def test_floors_that_are_not_known_are_not_told():
    assert floor_facts(None, None) == []
    assert [fact.label for fact in floor_facts(None, 1.5)] == ["nats: exact"]
    floors = Floors(math.log(10), 2.1, 1.8, 1.7, 100, 100)
    assert [(f.label, f.value) for f in floor_facts(floors, 1.65)] == [
        ("nats: ln V", "2.303"), ("unigram", "2.100"), ("bigram", "1.800"), ("trigram", "1.700"), ("exact", "1.650"),
    ]  # fmt: skip


def test_figures_flow_into_the_width_that_there_is():
    _, corpus = corpus_of("some text\n" * 50)
    facts = facts_of(corpus)
    assert len(flow(facts, 200)) == 1
    narrow = said(flow(facts, 30))
    assert len(narrow) > 1
    assert all(len(line) <= 30 for line in narrow)


def test_a_prompt_that_the_vocabulary_lacks_is_told_before_a_run_fails_of_it():
    preset, corpus = corpus_of("only these letters\n" * 20)
    assert prompt_trouble(preset, corpus) == ""
    foreign = presets.apply(preset, {"sample.prompt": "DEF"})
    assert "'D'" in prompt_trouble(foreign, corpus)


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe:300"])
@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("bars", [False, True])
@pytest.mark.parametrize("width", [1, 2, 7, 38])
def test_hostile_text_is_harmless_and_stays_in_its_width(tokenizer, edges, bars, width):
    text = HOSTILE * 20
    _, corpus = corpus_of(text, tokenizer=tokenizer)
    lines = said(Preview(corpus).lines(width, 30, edges=edges, bars=bars))
    assert 0 < len(lines) <= 30
    assert all(cell_len(line) <= width for line in lines)
    assert all(character.isprintable() for line in lines for character in line)


def test_edges_part_the_tokens_as_the_tokenizer_does():
    _, corpus = corpus_of("the cat sat on the mat. " * 40, tokenizer="bpe:280")
    ids = corpus.splits["train"].read(0, 40)
    pieces = [piece.replace(" ", "·") for piece in corpus.tokenizer.pieces(ids)]
    (line,) = Preview(corpus).lines(60, 1, edges=True)
    cells = [text for text, _ in line]
    assert cells == pieces[: len(cells)]
    assert [ink for _, ink in line] == [f"token-{n % 2}" for n in range(len(line))]
    barred = Preview(corpus).lines(60, 1, edges=True, bars=True)[0]
    assert said([barred])[0].split("|") == pieces[: (len(barred) + 1) // 2]


def test_the_text_begins_as_the_training_split_does():
    _, corpus = corpus_of("First line\nand a second one that is longer\n" * 20)
    assert said(Preview(corpus).lines(16, 4, edges=False)) == [
        "First line",
        "and a second one",
        " that is longer",
        "First line",
    ]


def test_paragraphs_break_between_words_and_lose_none():
    text = "a message that names /a/very/long/path/without/any/place/to/break and goes on\nwith a second line"
    lines = paragraph(text, 20)
    assert all(cell_len(line) <= 20 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "").replace("\n", "")
    assert paragraph("日本語 日本語", 7) == ["日本語", "日本語"]
    assert all(c.isprintable() for line in paragraph(HOSTILE, 20) for c in line)
