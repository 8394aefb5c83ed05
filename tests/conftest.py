"""What every room's tests share: the data folder that measurements use, and caches that are thrown away."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with tiny-shakespeare, names.txt and the GPT-2 vocabulary; a skip where it is not."""
    folder = os.environ.get("WORKBENCH_TEST_DATA")
    if not folder:
        pytest.skip("WORKBENCH_TEST_DATA is not set: it names the folder with shakespeare.txt and names.txt")
    path = Path(folder)
    if not (path / "shakespeare.txt").is_file():
        pytest.skip(f"WORKBENCH_TEST_DATA={folder} holds no shakespeare.txt")
    return path


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Corpus caches and downloads of the tests never touch the user's own."""
    before = os.environ.get("WORKBENCH_CACHE")
    os.environ["WORKBENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["WORKBENCH_CACHE"]
    else:
        os.environ["WORKBENCH_CACHE"] = before
