"""The row function: golden values, every legal start, orders through edits, and the sentences of the texts."""

import numpy as np
import pytest

from workbench.data.batches import batch, fingerprint
from workbench.data.counter import draw, key_of, mix, permute
from workbench.data.rows import Base, Rows
from workbench.errors import UsageError


class Text:
    """A split made of a sentence, one token a character."""

    def __init__(self, text: str) -> None:
        self.vocabulary = sorted(set(text))
        self.ids = np.array([self.vocabulary.index(c) for c in text], dtype=np.uint8)
        self.n = len(text)

    def read(self, begin: int, count: int) -> np.ndarray:
        return self.ids[begin : begin + count]

    def gather(self, starts: np.ndarray, length: int) -> np.ndarray:
        return self.ids[starts[:, None] + np.arange(length)]

    def text(self, ids: np.ndarray) -> str:
        return "".join(self.vocabulary[i] for i in ids)


def test_golden_values_of_the_counter_hash() -> None:
    """These numbers are a promise: every run ever recorded depends on them."""
    assert mix(np.array([0, 1, -1])).tolist() == [0, 6238072747940578789, -5417735806833148549]
    assert key_of(1337, 1) == -1724299131206639714
    assert draw(key_of(1337, 1), np.arange(3)).tolist() == [
        997201803444276312, 6521065104971776497, 4531635870223967202,
    ]  # fmt: skip
    assert Rows(1_003_854, 64, 1337).offsets(0, 4).tolist() == [15242, 216187, 112162, 801110]
    assert Rows(1_003_854, 64, 1337, "shuffled").offsets(0, 4).tolist() == [936576, 838464, 192960, 295424]


def test_numpy_and_torch_draw_the_same_rows() -> None:
    torch = pytest.importorskip("torch")
    g = np.arange(10_000, dtype=np.int64) * 977
    key = key_of(3, 1, 4)
    assert draw(key, torch.from_numpy(g)).tolist() == draw(key, g).tolist()
    index = np.arange(1000, dtype=np.int64)
    assert permute(torch.from_numpy(index), 1000, key).tolist() == permute(index, 1000, key).tolist()


@pytest.mark.parametrize("size", [1, 2, 3, 10, 97, 1000, 65_537])
def test_a_permutation_is_a_bijection(size: int) -> None:
    index = np.arange(size, dtype=np.int64)
    seen = permute(index.copy(), size, key_of(5, size))
    assert sorted(seen.tolist()) == index.tolist()
    if size > 90:
        assert seen.tolist() != permute(index.copy(), size, key_of(6, size)).tolist()
        assert abs(float(np.corrcoef(index, seen)[0, 1])) < 0.25


def test_random_reaches_every_legal_start_evenly() -> None:
    starts = Rows(19, 8, seed=1).offsets(0, 110_000)
    counts = np.bincount(starts, minlength=11)
    assert len(counts) == 11  # 0 to 10: the last token is reachable as a target
    assert counts.min() > 9_600
    assert counts.max() < 10_400


def test_the_shortest_text_has_one_row_and_a_shorter_one_is_refused() -> None:
    assert Rows(9, 8, seed=1).offsets(0, 3).tolist() == [0, 0, 0]
    with pytest.raises(UsageError, match=r"T = 8 is too large: the training split has 8 tokens"):
        Rows(8, 8, seed=1)


def test_the_sentences_of_the_texts() -> None:
    to_be = Text("To be or not to be.")
    x, y = batch(to_be, np.array([0, 2, 10, 2]), 8, None)
    assert [to_be.text(r) for r in x] == ["To be or", " be or n", "ot to be", " be or n"]
    assert [to_be.text(r) for r in y] == ["o be or ", "be or no", "t to be.", "be or no"]
    citizen = Text(
        "First Citizen: Before we proceed any further, hear me speak. Speak. You are all resolved rather to die "
        "than to famish? Resolved."
    )
    assert citizen.n == 128
    x, y = batch(citizen, np.array([80, 103, 23, 62]), 8, None)
    assert [citizen.text(r) for r in x] == ["resolved", "than to ", "e procee", "peak. Yo"]
    assert [citizen.text(r) for r in y] == ["esolved ", "han to f", " proceed", "eak. You"]


def test_sequential_blocks_share_only_their_boundary_token() -> None:
    r = Rows(1_000_000, 1024, seed=1, order="sequential")
    assert r.offsets(0, 4).tolist() == [0, 1024, 2048, 3072]  # tokens 1–1024, 1025–2048, …
    assert r.offsets(4, 1).tolist() == [4096]  # step 1 goes on at the fifth
    assert Rows(1_000_000, 1024, seed=1, order="sequential", stride=1).offsets(0, 3).tolist() == [0, 1, 2]


def test_sequential_goes_on_where_the_data_stood_after_an_edit_of_T() -> None:
    r = Rows(1000, 64, seed=1, order="sequential")
    later = r.edited(3, T=32, order="sequential")
    assert later.base == Base(row=3, token=192, epoch=0)
    assert later.offsets(3, 2).tolist() == [192, 224]
    assert later.edited(5, T=64, order="sequential").offsets(5, 2).tolist() == [256, 320]
    assert r.edited(3, T=64, order="sequential") is r


def test_sequential_uses_the_tail_that_a_smaller_T_can_still_read_and_then_begins_again() -> None:
    r = Rows(100, 32, seed=1, order="sequential")
    assert r.offsets(0, 4).tolist() == [0, 32, 64, 0]
    later = r.edited(3, T=2, order="sequential")
    assert later.offsets(3, 3).tolist() == [96, 0, 2]  # 97 and 98 are the tail's targets' ends
    assert later.epochs(3, 3).tolist() == [0, 1, 1]
    assert r.edited(3, T=50, order="sequential").epochs(3, 1).tolist() == [1]


def test_shuffled_visits_each_block_once_an_epoch_through_edits() -> None:
    r = Rows(10_001, 10, seed=4, order="shuffled")
    first = r.offsets(0, r.blocks)
    assert sorted(first.tolist()) == list(range(0, 10_000, 10))
    assert first.tolist() != r.offsets(r.blocks, r.blocks).tolist()
    edited = r.edited(300, T=20, order="shuffled")
    assert edited.base == Base(300, 0, 1)
    assert len(set(edited.offsets(300, edited.blocks).tolist())) == edited.blocks == 500
    assert set(edited.epochs(300, 500).tolist()) == {1}
    back = edited.edited(310, T=10, order="shuffled")
    assert set(back.epochs(310, back.blocks).tolist()) == {2}
    assert len(set(back.offsets(310, back.blocks).tolist())) == back.blocks


def test_an_edit_of_the_order_begins_at_the_text_s_start() -> None:
    r = Rows(1000, 10, seed=1).edited(7, T=10, order="sequential")
    assert r.offsets(7, 3).tolist() == [0, 10, 20]


def test_windows_see_their_own_line_and_newlines_before_it() -> None:
    lines = Text("emma\nava\n")
    newline = lines.vocabulary.index("\n")
    x, y = batch(lines, np.arange(9), 3, newline)
    assert ["".join(lines.text(r)) for r in x] == [
        "\n\n\n", "\n\ne", "\nem", "emm", "mma", "\n\n\n", "\n\na", "\nav", "ava",
    ]  # fmt: skip
    assert lines.text(y) == "emma\nava\n"
    late, _ = batch(lines, np.array([5, 8]), 3, newline)  # the fast path, where all have T tokens before them
    assert late.tolist() == x[[5, 8]].tolist()


def test_the_hash_of_rows_does_not_depend_on_how_they_are_dealt_out() -> None:
    x = np.arange(12).reshape(4, 3)
    y = x + 1
    assert fingerprint([x], [y]) == fingerprint([x[:2], x[2:]], [y[:2], y[2:]])
    assert fingerprint([x], [y]) == fingerprint([x.astype(np.uint8)], [y.astype(np.int16)])
    assert fingerprint([x], [y]) != fingerprint([y], [x])


@pytest.mark.parametrize("first", [-1, 2**62 + 1, 2**63, 2**64])
def test_rows_that_no_run_comes_to_are_refused(first: int) -> None:
    rows = Rows(tokens=100, T=8, order="sequential", seed=1)
    assert len(rows.offsets(2**62, 4)) == 4
    for asked in (rows.offsets, rows.epochs):
        with pytest.raises(UsageError, match=r"row -?[\d,]+: expected a row from 0 to 4,611,686,018,427,387,904"):
            asked(first, 4)
