"""Cutting a text for a BPE never changes a token; lines are lines."""

import random
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.data import encode, scan, threads
from workbench.data.encode import encoded, safe_pieces, whole_lines
from workbench.data.scan import silent
from workbench.data.sources import TextSource
from workbench.data.tokenizers import BpeTokenizer, ByteTokenizer, CharTokenizer, load_tiktoken
from workbench.errors import DataError

# The alternatives of the newer encodings' patterns that matter for cuts: punctuation that takes newlines
# with it, spaces before newlines, contractions after letters, digits in threes.
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|"
    r"\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
FRAGMENTS = [
    *"aZ_0.,'/-é日\u0301\x85\u00a0\u2028\x1c\t\r ",
    *(
        "\n",
        "\n\n",
        "\r\n",
        " \n",
        "\n ",
        ".\n",
        "/\n",
        "  ",
        "'s",
        "it's\n",
        "12345",
        " the",
        "Foo",
        "—\n",
        "\n_",
        "x",
    ),
]


@pytest.fixture(scope="module")
def encodings(test_data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(test_data / "tiktoken"))
        ranks = load_tiktoken("gpt2")._encoding._mergeable_ranks
    return [load_tiktoken("gpt2"), *(BpeTokenizer.trained("x", pattern, ranks) for pattern in (CL100K, O200K))]


def slices(text, width):
    return [text[i : i + width] for i in range(0, len(text), width)]


def assert_cuts_change_nothing(text, encodings, widths=(1, 3, 17)):
    for width in widths:
        pieces = list(safe_pieces(slices(text, width), target=width))
        assert "".join(pieces) == text
        for tokenizer in encodings:
            assert [t for piece in pieces for t in tokenizer.encode(piece).tolist()] == tokenizer.encode(text).tolist()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=60).map("".join))
def test_cuts_change_no_token_of_awkward_text(encodings, text):
    assert_cuts_change_nothing(text, encodings)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80))
def test_cuts_change_no_token_of_any_text(encodings, text):
    assert_cuts_change_nothing(text, encodings)


def test_cuts_change_no_token_of_shakespeare(encodings, test_data):
    text = (test_data / "shakespeare.txt").read_text()[:100_000]
    for variant in (text, text.replace("\n", "\r\n"), text.replace("\n", " ")):
        assert_cuts_change_nothing(variant, encodings, widths=(50, 1000))
        assert len(list(safe_pieces(slices(variant, 1000), 1000))) > 50


def test_pieces_stay_near_their_target(test_data):
    text = (test_data / "shakespeare.txt").read_text()
    pieces = list(safe_pieces(slices(text, 4096), 4096))
    assert max(map(len, pieces)) < 3 * 4096


def test_a_text_that_cannot_be_cut_is_an_error_and_not_all_of_memory(monkeypatch):
    monkeypatch.setattr(encode, "_LONGEST_UNCUT", 100_000)
    with pytest.raises(DataError, match="byte or char"):
        list(safe_pieces(("a" * 1000 for _ in range(1000)), 1000))
    with pytest.raises(DataError, match="line"):
        list(whole_lines("a" * 1000 for _ in range(1000)))


def tokens_of(text, tokenizer, by_line):
    arrays = list(encoded(TextSource(text), tokenizer, by_line=by_line, progress=silent))
    assert all(array.dtype == tokenizer.dtype for array in arrays)
    return np.concatenate(arrays).tolist()


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("ab \n\ré'"), min_size=1, max_size=30))
def test_lines_are_encoded_by_themselves(encodings, text):
    lines = text.removesuffix("\n").split("\n")
    gpt2 = encodings[0]
    assert tokens_of(text, gpt2, True) == [t for line in lines for t in [*gpt2.encode(line).tolist(), 198]]
    for tokenizer in (CharTokenizer(text + "\n"), ByteTokenizer()):
        assert tokens_of(text, tokenizer, True) == tokenizer.encode("\n".join([*lines, ""])).tolist()
        assert tokens_of(text, tokenizer, False) == tokenizer.encode(text).tolist()
    assert tokens_of(text, gpt2, False) == gpt2.encode(text).tolist()


def test_threads_keep_the_order(encodings, monkeypatch):
    words = random.Random(1).choices(["alpha", "beta", "gamma", "delta"], k=20_000)
    text = "".join(f"{word}\n" if i % 9 == 0 else f"{word} " for i, word in enumerate(words))
    monkeypatch.setattr(encode, "CHUNK", 500)

    arrays = list(encoded(Sliced(text), encodings[0], by_line=False, progress=silent))
    assert len(arrays) > 100
    assert np.concatenate(arrays).tolist() == encodings[0].encode(text).tolist()


class Sliced(TextSource):
    """A text that comes in pieces of a hundred bytes."""

    def chunks(self):
        for chunk in super().chunks():
            for at in range(0, len(chunk.data), 100):
                yield chunk._replace(data=chunk.data[at : at + 100], offset=at)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("by_line", [False, True])
def test_each_thread_has_an_encoder_of_its_own_where_there_is_much_to_do(
    encodings, test_data, monkeypatch, workers, by_line
):
    """Threads that share one are a quarter slower; an encoder of one's own is not worth its while for little."""
    text = (test_data / "shakespeare.txt").read_text()[:60_000]
    for module in (threads, encode):
        monkeypatch.setattr(module, "cores", lambda: workers)
    monkeypatch.setattr(encode, "CHUNK", 500)
    used = set()
    own = BpeTokenizer.encode_u4

    def noted(self, piece):
        used.add((threading.current_thread(), id(self._encoding)))
        return own(self, piece)

    monkeypatch.setattr(BpeTokenizer, "encode_u4", noted)
    gpt2 = encodings[0]
    whole = gpt2._encoding.encode_ordinary(text)
    for enough, shared in ((1 << 20, True), (1, False)):
        monkeypatch.setattr(encode, "_ENCODER_PAYS", enough)
        used.clear()
        arrays = list(encoded(Sliced(text), gpt2, by_line=by_line, progress=silent))
        assert len(arrays) > 100
        assert by_line or np.concatenate(arrays).tolist() == whole
        in_threads, encoders = ({pair[i] for pair in used} for i in (0, 1))
        assert threading.current_thread() not in in_threads
        assert len(in_threads) == len(used) <= workers
        assert encoders == {id(gpt2._encoding)} if shared else len(encoders) == len(in_threads)
        assert shared or id(gpt2._encoding) not in encoders


def test_a_twin_is_the_same_tokenizer(encodings):
    text = "<|endoftext|> it's naïve\n\n  x"
    for tokenizer in encodings:
        twin = tokenizer.twin()
        assert twin._encoding._core_bpe is not tokenizer._encoding._core_bpe
        assert (twin.name, twin.vocab_size, twin.newline_id) == (
            tokenizer.name,
            tokenizer.vocab_size,
            tokenizer.newline_id,
        )
        assert twin.encode(text).tolist() == tokenizer.encode(text).tolist()


WIDE = "".join(map(chr, range(0x3B1, 0x3B1 + 300)))  # more characters than a byte can tell apart


@settings(max_examples=150, deadline=None)
@given(
    st.text(
        st.one_of(
            st.sampled_from("ab\né\xffπ日\U0001f600"), st.characters(codec="utf-8", exclude_characters="\0\ufeff")
        ),
        min_size=1,
    )
)
@pytest.mark.parametrize("others", ["", WIDE])
def test_characters_of_every_width_are_what_they_are_one_by_one(others, text):
    """Latin-1 goes through a table of bytes, the rest does not; 3 characters a stretch mixes the two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_STRETCH", 3)
        tokenizer = CharTokenizer(text + others)
        assert tokens_of(text, tokenizer, False) == [tokenizer.characters.index(character) for character in text]
        distinct = scan._Distinct()
        distinct.add(text[:5])
        distinct.add(text[5:])
        assert distinct.characters() == "".join(sorted(set(text)))


def test_a_pattern_that_gives_up_is_told(encodings):
    tokenizer = BpeTokenizer.trained("b", r"\s+(?!\S)|\s+|\S", {bytes([i]): i for i in range(256)})
    with pytest.raises(DataError, match="run of spaces"):
        tokens_of("a" + " " * 2_000_000 + "b", tokenizer, False)
