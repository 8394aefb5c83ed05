"""tiktoken's vocabularies when there is no network, or one that does not answer."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workbench.data import vocabularies
from workbench.data.vocabularies import load
from workbench.errors import DataError, UsageError

# One that no other test loads: tiktoken remembers what it has loaded.
UNLOADED = "p50k_base"


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "tiktoken"))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def assert_mendable(error, tmp_path):
    message = str(error.value)
    assert error.value.exit_code == 5
    for told in (UNLOADED, "TIKTOKEN_CACHE_DIR", str(tmp_path / "tiktoken"), "bpe:1024"):
        assert told in message


def test_offline_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_OFFLINE", "1")
    with pytest.raises(DataError, match="WORKBENCH_OFFLINE is set") as error:
        load(UNLOADED)
    assert_mendable(error, tmp_path)


def test_a_network_that_refuses(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(DataError) as error:
        load(UNLOADED)
    assert_mendable(error, tmp_path)


def test_a_network_that_never_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(vocabularies, "_CONNECT", 0.3)
    monkeypatch.setattr(vocabularies, "_SILENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(DataError) as error:
            load(UNLOADED)
        assert time.monotonic() - began < 5
    assert_mendable(error, tmp_path)


def test_tiktoken_s_own_reader_is_put_back(monkeypatch):
    import tiktoken.load

    own = tiktoken.load.read_file
    monkeypatch.setenv("WORKBENCH_OFFLINE", "1")
    with pytest.raises(DataError):
        load(UNLOADED)
    assert tiktoken.load.read_file is own


def test_offline_with_a_cache_works(test_data):
    program = "from workbench.data.tokenizers import load_tiktoken; print(load_tiktoken('gpt2').vocab_size)"
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"WORKBENCH_OFFLINE": "1", "TIKTOKEN_CACHE_DIR": str(test_data / "tiktoken")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "50257\n"


def test_an_unknown_name():
    with pytest.raises(UsageError, match="Did you mean gpt2"):
        load("gpt-2")
