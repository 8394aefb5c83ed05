"""Text to ids and back."""

import json

import numpy as np
import pytest

from workbench.data.bpe import train_bpe
from workbench.data.scan import silent
from workbench.data.sources import TextSource
from workbench.data.tokenizers import ByteTokenizer, CharTokenizer, Tokenizer, load_tiktoken, merges_asked_for
from workbench.errors import DataError, UsageError

NASTY = "Zoë's naïve café — 日本語 \U0001f600\n\ttabs\r\n<|endoftext|> it's 12345 ﬁ́"


def again(tokenizer):
    """Through JSON text, as in a checkpoint."""
    return Tokenizer.from_json(json.loads(json.dumps(tokenizer.to_json())))


def trained(text, spec="bpe:300"):
    return train_bpe(spec, TextSource(text), silent)


def test_char_is_sorted_code_points():
    tokenizer = CharTokenizer("hello\nworld")
    assert tokenizer.characters == "\ndehlorw"
    assert tokenizer.encode("hello").tolist() == [3, 2, 4, 4, 5]
    assert tokenizer.newline_id == 0
    assert CharTokenizer("ab").newline_id is None
    assert tokenizer.dtype == np.uint8


def test_a_foreign_character_is_named():
    tokenizer = CharTokenizer("To be")
    for text, told in (("Tobé", "'é' (U+00E9)"), ("T\U0001f600", "U+1F600"), ("~", "'~' (U+007E)")):
        with pytest.raises(UsageError) as error:
            tokenizer.encode(text)
        assert told in str(error.value)
        assert "5 characters" in str(error.value)


def test_a_lone_surrogate_is_foreign_and_not_a_crash():
    with pytest.raises(UsageError, match=r"U\+D800"):
        CharTokenizer("ab").encode("\ud800")


def test_the_empty_text():
    for tokenizer in (CharTokenizer("ab"), ByteTokenizer(), trained("ab ab")):
        assert tokenizer.encode("").tolist() == []
        assert tokenizer.decode([]) == ""


@pytest.mark.parametrize("make", [lambda: CharTokenizer(NASTY), ByteTokenizer, lambda: trained(NASTY * 3)])
def test_there_and_back_and_through_json(make):
    tokenizer = make()
    ids = tokenizer.encode(NASTY)
    assert ids.dtype == np.int64
    assert tokenizer.decode(ids) == NASTY
    assert int(ids.max()) < tokenizer.vocab_size
    assert b"".join(map(tokenizer.piece, ids.tolist())).decode() == NASTY
    copy = again(tokenizer)
    assert copy.encode(NASTY).tolist() == ids.tolist()
    assert (copy.name, copy.vocab_size, copy.newline_id) == (
        tokenizer.name,
        tokenizer.vocab_size,
        tokenizer.newline_id,
    )


def test_half_a_character_decodes_to_a_replacement():
    assert ByteTokenizer().decode([0xC3]) == "\ufffd"
    assert ByteTokenizer().decode([0xC3, 0xA9]) == "é"
    assert CharTokenizer("ab").decode([0, 9]) == "a\ufffd"


@pytest.mark.usefixtures("gpt2")
def test_gpt2():
    tokenizer = load_tiktoken("gpt2")
    assert tokenizer.vocab_size == 50257
    assert tokenizer.encode("hello world").tolist() == [31373, 995]
    assert tokenizer.newline_id == 198
    assert tokenizer.dtype == np.uint16
    # A special token in text is text: it is spelled out, and comes back.
    assert 50256 not in tokenizer.encode(NASTY).tolist()
    assert tokenizer.decode(tokenizer.encode(NASTY)) == NASTY
    assert tokenizer.piece(50256) == b"<|endoftext|>"
    assert tokenizer.piece(50300).decode() == "\ufffd"
    assert again(tokenizer).encode(NASTY).tolist() == tokenizer.encode(NASTY).tolist()


def test_bpe_learns_the_commonest_pair_first():
    tokenizer = trained("ab ab ab ab cd cd x")
    assert tokenizer.piece(256) == b"ab"
    assert tokenizer.newline_id == 10


def test_bpe_training_repeats(test_data):
    # Counting runs on all cores: ties must not be broken by which thread was first.
    text = (test_data / "shakespeare.txt").read_text()[:300_000]
    first, *rest = [trained(text, "bpe:1024").to_json() for _ in range(5)]
    assert len(first["pieces"]) == 1024
    assert all(other == first for other in rest)


def test_bpe_ties_repeat():
    # Every pair once: all counts tie.
    text = " ".join(chr(0x4E00 + i) + chr(0x6E00 + i) for i in range(300))
    assert len({json.dumps(trained(text, "bpe:600").to_json()) for _ in range(8)}) == 1


def test_bpe_of_a_small_text_has_a_smaller_vocabulary():
    assert trained("ab ab").vocab_size < 300
    assert trained("ab ab", "bpe:256").vocab_size == 256


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("gpt3", "Did you mean gpt2?"),
        ("chars", "Did you mean char?"),
        ("bpe", "bpe:N"),
        ("bpe:12", "256"),
        ("bpe:99999", "65536"),
        ("bpe:-5", "bpe:N"),
        ("", "expected char"),
    ],
)
def test_a_tokenizer_that_is_none(spec, told):
    with pytest.raises(UsageError) as error:
        merges_asked_for(spec)
    assert told in str(error.value)


@pytest.mark.parametrize(
    "document", [{}, {"kind": "wordpiece"}, {"kind": "char"}, {"kind": "bpe", "name": "b", "pieces": ["!"]}]
)
def test_a_description_that_is_none(document):
    with pytest.raises(DataError, match="tokenizer"):
        Tokenizer.from_json(document)


def test_pieces_are_text_or_hex():
    assert CharTokenizer("aé\u0301\n").pieces([0, 1, 2]) == ["\n", "a", "é"]
    assert ByteTokenizer().pieces(np.array([97, 10, 0xE2, 0xFF])) == ["a", "\n", "<e2>", "<ff>"]
    assert ByteTokenizer().pieces([256]) == ["\ufffd"]
    assert ByteTokenizer().pieces([]) == []


@pytest.mark.usefixtures("gpt2")
def test_a_piece_that_is_part_of_a_character_is_hex_as_a_whole():
    tokenizer = load_tiktoken("gpt2")
    ids = tokenizer.encode(" the 日 \U0001f600")
    assert tokenizer.pieces(ids) == [" the", "<20 e6>", "<97>", "<a5>", "<20 f0 9f 98>", "<80>"]
