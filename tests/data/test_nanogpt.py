"""nanoGPT's .bin files: tokens already, read where they lie."""

import numpy as np
import pytest

from workbench.data.corpus import open_corpus
from workbench.errors import DataError, UsageError


def write(path, tokens):
    np.asarray(list(tokens), dtype="<u2").tofile(path)
    return path


def test_train_and_val_beside_each_other(table, tmp_path):
    write(tmp_path / "train.bin", b"the training text")
    write(tmp_path / "val.bin", b"validation")
    corpus = open_corpus(table(dataset=tmp_path / "train.bin", tokenizer="byte"))
    assert {name: split.n for name, split in corpus.splits.items()} == {"train": 17, "val": 10}
    assert corpus.tokenizer.decode(corpus.splits["val"].read(0, 10)) == "validation"
    assert corpus.characters is None
    assert corpus.notes == ("val.bin beside it is the validation split",)
    alone = open_corpus(table(dataset=tmp_path / "train.bin", tokenizer="byte", val_fraction=0))
    assert list(alone.splits) == ["train"]
    assert alone.fingerprint != corpus.fingerprint


def test_one_file_is_split_by_its_tail(table, tmp_path):
    path = write(tmp_path / "corpus.bin", range(200))
    write(tmp_path / "val.bin", [1])
    corpus = open_corpus(table(dataset=path, tokenizer="byte"))
    assert corpus.splits["train"].n == 180
    assert corpus.splits["val"].read(0, 20).tolist() == list(range(180, 200))


@pytest.mark.usefixtures("gpt2")
def test_gpt2_tokens(table, tmp_path):
    path = write(tmp_path / "train.bin", [15496, 995, 198, 50256] * 10)
    corpus = open_corpus(table(dataset=path, tokenizer="gpt2"))
    assert corpus.tokenizer.decode(corpus.splits["train"].read(0, 4)) == "Hello world\n<|endoftext|>"
    write(path, [15496, 50257])
    with pytest.raises(DataError, match=r"holds token 50257, but gpt2 has ids up to 50256"):
        open_corpus(table(dataset=path, tokenizer="gpt2"))


def test_a_changed_file_is_looked_through_again(table, tmp_path):
    path = write(tmp_path / "a.bin", [1, 2, 3, 4])
    open_corpus(table(dataset=path, tokenizer="byte", val_fraction=0))
    write(path, [1, 2, 3, 256])
    with pytest.raises(DataError, match="holds token 256"):
        open_corpus(table(dataset=path, tokenizer="byte", val_fraction=0))


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"tokenizer": "char"}, "pickle"),
        ({"tokenizer": "bpe:300"}, "tokenised already"),
        ({"tokenizer": "byte", "split": "lines"}, "split tail"),
        ({"tokenizer": "byte", "layout": "windows"}, "layout stream"),
    ],
)
def test_what_does_not_go_with_tokens(table, tmp_path, keys, told):
    with pytest.raises(UsageError, match=told):
        open_corpus(table(dataset=write(tmp_path / "train.bin", [1, 2, 3]), **keys))


@pytest.mark.parametrize(("content", "told"), [(b"", "is empty"), (b"abc", "no whole number")])
def test_a_file_that_is_none(table, tmp_path, content, told):
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(DataError, match=told):
        open_corpus(table(dataset=tmp_path / "a.bin", tokenizer="byte"))
