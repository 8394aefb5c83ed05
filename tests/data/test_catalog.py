"""Names of datasets, and what a wrong one is told."""

import pytest

from workbench.data import catalog
from workbench.errors import UsageError
from workbench.preset import NAMED_DATASETS


def test_the_preset_knows_the_same_names():
    assert set(NAMED_DATASETS) == set(catalog.DATASETS)


def test_describe_says_what_is_here(cache):
    rows = {row.name: row for row in catalog.describe()}
    assert list(rows) == list(catalog.DATASETS)
    assert rows["python-docs"].here
    assert not rows["shakespeare"].here
    assert rows["shakespeare"].path == str(cache / "downloads" / "shakespeare.txt")
    assert rows["shakespeare"].sha256.startswith("86c4e6aa")
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads" / "shakespeare.txt").write_text("here")
    assert catalog.describe("shakespeare")[0].here


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        ("shakespear", "Did you mean shakespeare?"),
        ("pythondocs", "Did you mean python-docs?"),
        ("/nowhere/at/all.txt", "does not exist"),
        ("/nowhere/shakespere.txt", "Did you mean shakespeare?"),
        ("", "is empty"),
        ("a\0b", "NUL"),
        ("x" * 5000, "neither a dataset nor a path"),
        ("~nobody-of-that-name/x", "does not exist"),
    ],
)
def test_what_is_neither_a_dataset_nor_a_path(dataset, told):
    with pytest.raises(UsageError) as error:
        catalog.find(dataset)
    assert told in str(error.value)
    assert "unicode-names" in str(error.value)


def test_a_dangling_link_is_named(tmp_path):
    (tmp_path / "link.txt").symlink_to(tmp_path / "gone.txt")
    with pytest.raises(UsageError, match="leads nowhere"):
        catalog.find(str(tmp_path / "link.txt"))


def test_an_unknown_name_for_the_data_command():
    with pytest.raises(UsageError, match="Did you mean markov"):
        catalog.describe("markow")
