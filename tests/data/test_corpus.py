"""From a [data] table to splits: sizes, orders, the cache, and what is remembered."""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from workbench.data import scan, tokenfile
from workbench.data.corpus import open_corpus, open_kept
from workbench.data.network import NotFetched
from workbench.data.store import IN_MEMORY
from workbench.errors import DataError, UsageError


def sizes(corpus):
    return {name: split.n for name, split in corpus.splits.items()}


def all_of(corpus, split):
    return corpus.tokenizer.decode(corpus.splits[split].read(0, corpus.splits[split].n))


def test_a_typed_sentence(table, cache):
    corpus = open_corpus(table(text="To be or not to be.", val_fraction=0))
    assert (corpus.name, corpus.characters, corpus.bytes, corpus.n_lines) == ("text", 19, 19, 1)
    assert corpus.fingerprint == hashlib.sha256(b"To be or not to be.").hexdigest()
    assert sizes(corpus) == {"train": 19}
    assert all_of(corpus, "train") == "To be or not to be."
    assert corpus.newline is None
    assert not cache.exists(), "a sentence leaves nothing in the cache"


def test_tiny_shakespeare(table, test_data):
    corpus = open_corpus(table(dataset=test_data / "shakespeare.txt"))
    assert corpus.tokenizer.vocab_size == 65
    assert sizes(corpus) == {"train": 1_003_854, "val": 111_540}
    text = (test_data / "shakespeare.txt").read_text()
    assert all_of(corpus, "train") == text[:1_003_854]
    assert all_of(corpus, "val") == text[1_003_854:]
    assert corpus.fingerprint == "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


@pytest.mark.usefixtures("gpt2")
def test_tiny_shakespeare_in_gpt2_tokens(table, test_data):
    corpus = open_corpus(table(dataset=test_data / "shakespeare.txt", tokenizer="gpt2"))
    assert sizes(corpus) == {"train": 304_222, "val": 33_803}
    assert all_of(corpus, "train") + all_of(corpus, "val") == (test_data / "shakespeare.txt").read_text()
    assert corpus.splits["train"].dtype == np.uint16
    assert corpus.newline == 198


@pytest.mark.parametrize("layout", ["windows", "stream"])
def test_names_are_split_as_makemore_splits_them(table, test_data, layout):
    corpus = open_corpus(table(dataset=test_data / "names.txt", split="lines", layout=layout))
    assert corpus.tokenizer.vocab_size == 27
    assert [corpus.splits[name].n for name in ("train", "val", "test")] == [182_625, 22_655, 22_866]
    words = (test_data / "names.txt").read_text().splitlines()
    random.seed(42)
    random.shuffle(words)
    n1, n2 = int(0.8 * len(words)), int(0.9 * len(words))
    for split, part in (("train", words[:n1]), ("val", words[n1:n2]), ("test", words[n2:])):
        assert all_of(corpus, split) == "".join(f"{word}\n" for word in part)


def test_one_cache_serves_every_val_fraction(table, test_data, cache):
    dataset = test_data / "names.txt"
    open_corpus(table(dataset=dataset, split="lines"))
    before = sorted((cache / "corpora").iterdir())
    without = open_corpus(table(dataset=dataset, split="lines", val_fraction=0))
    assert sizes(without) == {"train": 228_146}
    half = open_corpus(table(dataset=dataset, split="lines", val_fraction=0.25))
    assert all_of(without, "train") == all_of(half, "train") + all_of(half, "val") + all_of(half, "test")
    assert all_of(half, "train").count("\n") == int(32033 * 0.5)
    assert sorted((cache / "corpora").iterdir()) == before


def test_tail_with_windows_keeps_the_order_of_lines(table, tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n\nfour")
    corpus = open_corpus(table(dataset=tmp_path / "a.txt", layout="windows", val_fraction=0.2))
    assert all_of(corpus, "train") + all_of(corpus, "val") == "one\ntwo\n\nfour\n"
    assert corpus.n_lines == 4
    assert corpus.by_line


def test_a_single_line_taken_by_line_has_a_newline(table):
    corpus = open_corpus(table(text="abc", layout="windows", val_fraction=0))
    assert corpus.tokenizer.vocab_size == 4
    assert all_of(corpus, "train") == "abc\n"


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe:300"])
@pytest.mark.parametrize("split", ["tail", "lines"])
def test_large_corpora_read_as_small_ones(table, tmp_path, monkeypatch, tokenizer, split):
    lines = [f"{i} {'nai̇ve café ' * (i % 7)}" for i in range(2000)]
    (tmp_path / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    data = table(dataset=tmp_path / "a.txt", tokenizer=tokenizer, split=split)
    small = open_corpus(data)
    own = tokenfile.TokenStore
    monkeypatch.setattr(tokenfile, "TokenStore", lambda *a, **k: own(*a, **k | {"in_memory": 0}))
    large = open_corpus(data)
    assert sizes(large) == sizes(small)
    for name, split_of in small.splits.items():
        assert large.splits[name].read(0, split_of.n).tolist() == split_of.read(0, split_of.n).tolist()
    assert "".join(sorted(all_of(large, "train").splitlines())) != ""


def test_the_second_start_reads_nothing_again(table, test_data, cache, monkeypatch):
    data = table(dataset=test_data / "shakespeare.txt")
    first = open_corpus(data)
    monkeypatch.setattr(scan, "_scan", lambda *_: pytest.fail("the text was read again"))
    monkeypatch.setattr(tokenfile, "build", lambda *_: pytest.fail("it was tokenised again"))
    second = open_corpus(data)
    assert second.fingerprint == first.fingerprint
    assert second.splits["val"].read(0, 99).tolist() == first.splits["val"].read(0, 99).tolist()


@pytest.mark.parametrize("tokenizer", ["char", "byte"])
def test_a_large_one_is_opened_the_second_time_without_reading_it(table, tmp_path, monkeypatch, tokenizer):
    (tmp_path / "a.txt").write_bytes(b"abcdefg\n" * (IN_MEMORY // 8 + 1))
    data = table(dataset=tmp_path / "a.txt", tokenizer=tokenizer)
    first = open_corpus(data)
    with monkeypatch.context() as patched:
        patched.setattr("os.preadv", lambda *_: pytest.fail("tokens were read"))
        patched.setattr("workbench.data.sources._read", lambda *_: pytest.fail("the text was read"))
        second = open_corpus(data)
    assert second.fingerprint == first.fingerprint
    assert second.splits["train"].read(80, 8).tolist() == first.tokenizer.encode("abcdefg\n").tolist()


def test_a_copy_elsewhere_is_tokenised_once(table, test_data, tmp_path, cache, monkeypatch):
    open_corpus(table(dataset=test_data / "names.txt"))
    copy = tmp_path / "copy.txt"
    copy.write_bytes((test_data / "names.txt").read_bytes())
    monkeypatch.setattr(tokenfile, "build", lambda *_: pytest.fail("it was tokenised again"))
    assert open_corpus(table(dataset=copy)).name == "copy.txt"


def test_a_file_that_changes_between_starts_is_read_again(table, tmp_path, cache):
    path = tmp_path / "a.txt"
    path.write_text("aaaa")
    first = open_corpus(table(dataset=path, val_fraction=0))
    path.write_text("bbbb")  # the same size, at once
    second = open_corpus(table(dataset=path, val_fraction=0))
    assert first.fingerprint != second.fingerprint
    assert all_of(second, "train") == "bbbb"


@pytest.mark.parametrize("damage", ["cut", "changed", "lines", "json", "gone"])
def test_a_damaged_cache_is_made_anew(table, test_data, cache, damage):
    data = table(dataset=test_data / "names.txt", split="lines")
    before = all_of(open_corpus(data), "train")
    (tokens,) = (cache / "corpora").glob("*.tokens")
    content = tokens.read_bytes()
    if damage == "cut":
        tokens.write_bytes(content[:1000])
    elif damage == "changed":
        tokens.write_bytes(content[:1000] + b"\5" + content[1001:])
    elif damage == "gone":
        tokens.unlink()
    else:
        other = tokens.with_suffix(f".{damage}")
        other.write_bytes(other.read_bytes()[:9])
    assert all_of(open_corpus(data), "train") == before


def test_a_failed_build_leaves_nothing_behind(table, tmp_path, cache, monkeypatch):
    (tmp_path / "a.txt").write_text("text\n" * 1000)

    def broken(*_args, **_keys):
        yield np.zeros(10, dtype=np.uint8)
        raise DataError("the source went away")

    monkeypatch.setattr(tokenfile, "encoded", broken)
    for split in ("tail", "lines"):
        with pytest.raises(DataError, match="went away"):
            open_corpus(table(dataset=tmp_path / "a.txt", split=split))
    assert list((cache / "corpora").iterdir()) == []


def test_two_processes_at_once(test_data, cache):
    # Both build the same corpus; neither may see the other's half.
    program = (
        "import sys; from workbench.data.corpus import open_corpus; from workbench.preset import DataTable\n"
        "c = open_corpus(DataTable(dataset=sys.argv[1], split='lines'))\n"
        "import hashlib; s = c.splits['train']; print(hashlib.sha256(s.read(0, s.n).tobytes()).hexdigest())"
    )
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", program, str(test_data / "names.txt")]
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, env=os.environ | {"PYTHONPATH": root})
        for _ in range(3)
    ]
    outputs = {run.communicate(timeout=60)[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len(outputs) == 1
    assert len(list((cache / "corpora").iterdir())) == 3


def test_progress_is_told(table, test_data, cache):
    told = []
    open_corpus(
        table(dataset=test_data / "shakespeare.txt", tokenizer="bpe:300"),
        progress=lambda what, share: told.append((what, share)),
    )
    assert list(dict.fromkeys(what for what, _ in told)) == ["reading", "training bpe", "tokenising"]
    for what in ("reading", "tokenising"):
        shares = [share for told_what, share in told if told_what == what]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0


def test_a_mark_at_a_file_s_start_is_no_character(table, tmp_path):
    for name, text in (("a.txt", "\ufeffab"), ("b.txt", "\ufeffcd")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert all_of(open_corpus(table(dataset=tmp_path, val_fraction=0)), "train") == "ab\ncd"
    # The same bytes in one file: there the second mark is a character like any other.
    (tmp_path / "one").mkdir()
    one = tmp_path / "one" / "c.txt"
    one.write_text("\ufeffab\n\ufeffcd", encoding="utf-8")
    assert all_of(open_corpus(table(dataset=one, val_fraction=0)), "train") == "ab\n\ufeffcd"
    raw = open_corpus(table(dataset=one, val_fraction=0, tokenizer="byte"))
    assert raw.splits["train"].read(0, 3).tobytes() == b"\xef\xbb\xbf"


def test_newlines_are_left_as_they_are(table, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a\r\nb\rc\n")
    assert all_of(open_corpus(table(dataset=tmp_path / "a.txt", val_fraction=0)), "train") == "a\r\nb\rc\n"


def test_byte_takes_any_bytes(table, tmp_path):
    content = bytes(range(256)) * 10
    (tmp_path / "a.txt").write_bytes(content)
    corpus = open_corpus(table(dataset=tmp_path / "a.txt", tokenizer="byte", val_fraction=0))
    assert corpus.splits["train"].read(0, 2560).tobytes() == content


def test_many_scripts(table, tmp_path):
    text = "".join(map(chr, [*range(0x20, 0x3000), *range(0x1F600, 0x1F640)]))
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    corpus = open_corpus(table(dataset=tmp_path / "a.txt", val_fraction=0))
    assert corpus.splits["train"].dtype == np.uint16
    assert all_of(corpus, "train") == text
    assert corpus.characters == len(text) == corpus.tokenizer.vocab_size


def test_characters_that_straddle_chunks(table, tmp_path):
    text = "é日\U0001f600" * 400_000  # nine bytes, which divide no chunk
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    assert all_of(open_corpus(table(dataset=tmp_path / "a.txt", val_fraction=0)), "train") == text


def test_a_small_text_s_bpe_says_so(table):
    corpus = open_corpus(table(text="ab ab ab", tokenizer="bpe:1024", val_fraction=0))
    assert corpus.tokenizer.vocab_size < 300
    assert any("only" in note and "bpe:1024" in note for note in corpus.notes)


def test_left_out_files_are_counted(table, tmp_path):
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.txt").write_bytes(b"\0\1\2")
    corpus = open_corpus(table(dataset=tmp_path, val_fraction=0))
    assert corpus.notes == (f"{tmp_path.name}: 1 binary or special files were left out",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"abc\xffdef", "byte 3 (0xff)"),
        (b"abc\xe6\x97", "byte 3 (0xe6)"),
        (b"\xef\xbb\xbfab\xff", "byte 5 (0xff)"),
        (b"text\0more", "byte 4 is NUL"),
        ("text".encode("utf-16"), "UTF-16"),
        (b"x" * (1 << 20) + b"y\xc3", f"byte {(1 << 20) + 1} (0xc3)"),
        (b"x" * ((1 << 20) - 1) + b"\xc3(", f"byte {(1 << 20) - 1} (0xc3)"),
    ],
)
def test_what_is_no_text(table, tmp_path, cache, content, told):
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        open_corpus(table(dataset=path))
    assert told in str(error.value)
    assert "bad.txt" in str(error.value)
    assert error.value.exit_code == 5


def test_a_folder_s_error_names_the_file(table, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"fine\xe6")
    (tmp_path / "b.txt").write_bytes(b"\x97\xa5")
    with pytest.raises(DataError, match=r"a\.txt.*byte 4"):
        open_corpus(table(dataset=tmp_path))


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"text": "ab", "val_fraction": 0.9}, "none to train on"),
        ({"text": "a\nb\nc", "split": "lines", "val_fraction": 0.4}, "3 lines"),
        ({"dataset": "/nowhere/x.txt"}, "does not exist"),
        ({"dataset": "shakspeare"}, "Did you mean shakespeare"),
    ],
)
def test_what_the_preset_got_wrong(table, keys, told):
    with pytest.raises(UsageError) as error:
        open_corpus(table(**keys))
    assert told in str(error.value)
    assert error.value.exit_code == 2


def test_a_cache_that_cannot_be_written(table, tmp_path, monkeypatch, test_data):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"file/cache.*WORKBENCH_CACHE"):
        open_corpus(table(dataset=test_data / "names.txt"))


def test_a_full_disk(table, test_data, cache, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"No space left.*WORKBENCH_CACHE"):
        open_corpus(table(dataset=test_data / "names.txt"))
    assert list(cache.rglob("*.tmp")) == []


def test_a_fetched_dataset_that_changed_on_disk(table, cache):
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads" / "names.txt").write_text("emma\n")
    with pytest.raises(DataError, match=r"changed since it was fetched.*workbench data names --fetch"):
        open_corpus(table(dataset="names"))


@pytest.mark.parametrize("opened", [open_corpus, open_kept])
def test_a_fetched_dataset_that_changed_is_refused_though_its_tokens_are_kept(table, cache, opened):
    (cache / "downloads").mkdir(parents=True)
    (path := cache / "downloads" / "names.txt").write_text("emma\nolivia\nava\n" * 10)
    open_corpus(table(dataset=path))  # by its path, of which nothing is known
    assert open_kept(table(dataset=path)) is not None
    with pytest.raises(DataError, match="changed since it was fetched"):
        opened(table(dataset="names"))


def test_a_fetched_dataset_that_is_here(table, cache, test_data):
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads" / "names.txt").write_bytes((test_data / "names.txt").read_bytes())
    corpus = open_corpus(table(dataset="names", split="lines", layout="windows"))
    assert (corpus.name, corpus.splits["train"].n) == ("names", 182_625)


def test_a_fetched_dataset_without_a_network(table, cache, monkeypatch):
    monkeypatch.setenv("WORKBENCH_OFFLINE", "1")
    with pytest.raises(DataError, match=r"workbench data shakespeare --fetch"):
        open_corpus(table(dataset="shakespeare"))


def test_the_room_needs_no_torch_and_no_screen():
    program = (
        "import sys; import workbench.data.corpus, workbench.data.entropy, workbench.data.catalog\n"
        "print([m for m in ('torch', 'textual', 'tiktoken', 'rustbpe', 'requests') if m in sys.modules])"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


KINDS = [
    {"tokenizer": "char"},
    {"tokenizer": "byte", "val_fraction": 0},
    {"tokenizer": "bpe:300"},
    {"split": "lines", "layout": "windows"},
    {"layout": "windows", "tokenizer": "byte"},
]


@pytest.mark.parametrize("keys", KINDS)
def test_what_is_kept_opens_as_it_was_without_reading(table, test_data, cache, monkeypatch, keys):
    data = table(dataset=test_data / "names.txt", **keys)
    assert open_kept(data) is None
    assert not cache.exists(), "asking leaves nothing behind"
    first = open_corpus(data)
    monkeypatch.setattr(scan, "_scan", lambda *_: pytest.fail("the text was read again"))
    monkeypatch.setattr(tokenfile, "build", lambda *_: pytest.fail("it was tokenised again"))
    kept = open_kept(data)
    assert sizes(kept) == sizes(first)
    for name in first.splits:
        assert all_of(kept, name) == all_of(first, name)
    for field in ("name", "fingerprint", "bytes", "characters", "n_lines", "by_line", "notes", "key", "newline"):
        assert getattr(kept, field) == getattr(first, field)
    assert kept.tokenizer.to_json() == first.tokenizer.to_json()


def test_what_is_kept_stays_on_disk(table, test_data, cache):
    data = table(dataset=test_data / "shakespeare.txt", val_fraction=0)
    open_corpus(data)
    (tokens,) = (cache / "corpora").glob("*.tokens")
    kept = open_kept(data)
    before = kept.splits["train"].read(10, 5).tolist()
    content = bytearray(tokens.read_bytes())
    content[10] = (content[10] + 1) % 65
    with tokens.open("r+b") as file:
        file.write(content)
    assert kept.splits["train"].read(10, 5).tolist() == [content[10], *before[1:]]


def test_a_file_that_changed_is_not_kept(table, tmp_path, cache):
    path = tmp_path / "a.txt"
    path.write_text("aaaa")
    open_corpus(table(dataset=path, val_fraction=0))
    assert open_kept(table(dataset=path, val_fraction=0)) is not None
    assert open_kept(table(dataset=path, val_fraction=0, tokenizer="byte")) is None
    path.write_text("bbbb")
    assert open_kept(table(dataset=path, val_fraction=0)) is None


def test_kept_tokens_that_are_cut_are_not_kept(table, test_data, cache):
    open_corpus(table(dataset=test_data / "names.txt"))
    (tokens,) = (cache / "corpora").glob("*.tokens")
    tokens.write_bytes(tokens.read_bytes()[:1000])
    assert open_kept(table(dataset=test_data / "names.txt")) is None


def test_a_kept_bin(table, tmp_path, cache):
    for name, n in (("train.bin", 1000), ("val.bin", 100)):
        np.arange(n, dtype="<u2").__mod__(256).astype("<u2").tofile(tmp_path / name)
    data = table(dataset=tmp_path / "train.bin", tokenizer="byte")
    assert open_kept(data) is None
    first = open_corpus(data)
    kept = open_kept(data)
    assert sizes(kept) == sizes(first) == {"train": 1000, "val": 100}
    assert (kept.fingerprint, kept.key, kept.notes) == (first.fingerprint, first.key, first.notes)
    with pytest.raises(UsageError, match=r"meta\.pkl"):
        open_kept(table(dataset=tmp_path / "train.bin"))


def test_a_sentence_is_always_there(table, cache):
    kept = open_kept(table(text="To be or not to be.", val_fraction=0))
    assert (all_of(kept, "train"), kept.key) == ("To be or not to be.", "")
    assert not cache.exists()


def test_what_is_to_be_fetched_is_not_kept_and_not_fetched(table, cache, tmp_path, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("it went to the network"))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "none"))
    for data in (table(dataset="shakespeare"), table(text="abc", tokenizer="r50k_base")):
        assert open_kept(data) is None
        with pytest.raises(NotFetched, match="to be fetched"):
            open_corpus(data, download=False)


@pytest.mark.usefixtures("gpt2")
@pytest.mark.parametrize("again", [open_kept, open_corpus])
def test_kept_gpt2_tokens_open_without_their_encoder(table, test_data, cache, monkeypatch, again):
    data = table(dataset=test_data / "names.txt", tokenizer="gpt2")
    first = open_corpus(data)
    with monkeypatch.context() as patched:
        patched.setattr("tiktoken.get_encoding", lambda _: pytest.fail("the encoder was loaded"))
        kept = again(data)
        assert all_of(kept, "val") == all_of(first, "val")
        every = range(-1, first.tokenizer.vocab_size + 1)
        assert [kept.tokenizer.piece(i) for i in every[1:]] == [first.tokenizer.piece(i) for i in every[1:]]
        assert (kept.newline, kept.tokenizer.dtype, kept.tokenizer.piece(-1)) == (198, np.uint16, "\ufffd".encode())
        assert kept.tokenizer.to_json() == first.tokenizer.to_json()
    assert kept.tokenizer.encode("the end").tolist() == first.tokenizer.encode("the end").tolist()
    (table_of_pieces,) = (cache / "vocabularies").iterdir()
    table_of_pieces.write_text("{}")
    assert all_of(again(data), "val") == all_of(first, "val"), "a damaged one is done without"


@pytest.mark.parametrize("keys", [{"dataset": "/nowhere/x.txt"}, {"dataset": "shakspeare"}, {"tokenizer": "gpt3"}])
def test_what_is_wrong_is_told_without_reading(table, cache, keys):
    with pytest.raises(UsageError):
        open_kept(table(**keys))
