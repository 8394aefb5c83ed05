"""What the data room's tests share: a [data] table from keywords, a cache of one's own, GPT-2's vocabulary."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.preset import DataTable


@pytest.fixture
def table() -> Callable[..., DataTable]:
    """A DataTable from keywords; a text takes the dataset's place."""

    def make(**keys: Any) -> DataTable:
        if "dataset" in keys:
            keys["dataset"] = str(keys["dataset"])
        elif "text" in keys:
            keys["dataset"] = ""
        return DataTable(**keys)

    return make


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for one test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("WORKBENCH_CACHE", str(folder))
    return folder


@pytest.fixture
def gpt2(test_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tiktoken finds GPT-2's vocabulary without a network."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(test_data / "tiktoken"))
