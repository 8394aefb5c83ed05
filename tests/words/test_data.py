"""`workbench data`, called in this process."""

import math
from pathlib import Path

import pytest
from tiny_runs import TEXT
from told import Capture, objects, the_object

from workbench import preset as presets
from workbench.data import catalog
from workbench.errors import UsageError
from workbench.words.telling import data


def test_the_preset_knows_the_catalogs_names() -> None:
    assert set(presets.NAMED_DATASETS) == set(catalog.DATASETS)
    assert len(presets.NAMED_DATASETS) == len(catalog.DATASETS)


def test_data_lists_every_dataset(capsys: Capture) -> None:
    assert data.tell(None, tokenizer="char", fetch=False, json=True) == 0
    told = objects(capsys)
    assert [o["name"] for o in told] == list(catalog.DATASETS)
    assert {o["name"]: o["here"] for o in told if o["kind"] == "embedded"} == dict.fromkeys(
        ("python-docs", "python-source", "unicode-names", "markov"), True
    )
    assert data.tell(None, tokenizer="char", fetch=False, json=False) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in catalog.DATASETS)
    with pytest.raises(UsageError, match="which dataset"):
        data.tell(None, tokenizer="char", fetch=True, json=False)


def test_data_of_a_file(tmp_path: Path, capsys: Capture) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    assert data.tell(str(text), tokenizer="char", fetch=False, json=True) == 0
    told = the_object(capsys)
    n = int(len(TEXT) * 0.9)
    assert (told["characters"], told["bytes"], told["lines"]) == (len(TEXT), len(TEXT.encode()), 39 * 39)
    assert told["tokens"] == {"train": n, "val": len(TEXT) - n}
    assert told["vocab"] == len(set(TEXT))
    floors = told["floors"]
    assert floors["uniform"] == pytest.approx(math.log(len(set(TEXT))))
    assert floors["uniform"] > floors["unigram"] > floors["bigram"] > floors["trigram"] > 0
    assert data.tell(str(text), tokenizer="byte", fetch=False, json=False) == 0
    out = capsys.readouterr().out
    assert "tokenizer    byte, vocabulary 256" in out
    assert told["fingerprint"] in out
    assert "begins       1 times 1 is 1.↵" in out
    with pytest.raises(UsageError, match="nothing to fetch"):
        data.tell(str(text), tokenizer="char", fetch=True, json=False)
    with pytest.raises(UsageError, match=r"data\.tokenizer"):
        data.tell(str(text), tokenizer="chr", fetch=False, json=False)


def test_what_a_folder_is_called_is_told_harmless(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "\x1b[2Jtexts"
    folder.mkdir()
    (folder / "a.txt").write_text(TEXT)
    (folder / "b.txt").write_bytes(b"\0\1\2" * 100)
    assert data.tell(str(folder), tokenizer="char", fetch=False, json=False) == 0
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err
    (note,) = (line for line in told.out.splitlines() if line.startswith("note"))
    assert "[2Jtexts: 1 binary or special files were left out" in note
    assert "[2Jtexts:" in told.out.splitlines()[0]
