"""tiktoken's vocabularies: their names, and how one is had without waiting long for a network."""

import difflib
import os
import threading
from typing import TYPE_CHECKING, Any

from workbench.data.network import NotFetched, offline
from workbench.errors import DataError, UsageError

if TYPE_CHECKING:
    import tiktoken

_CONNECT, _SILENCE = 10.0, 20.0  # seconds; tiktoken itself would wait for ever

_lock = threading.Lock()


def names() -> list[str]:
    """Every encoding that the installed tiktoken knows by name."""
    import tiktoken

    return tiktoken.list_encoding_names()


def nearest(name: str) -> str:
    """A hint at the nearest tokenizer, or nothing."""
    near = difflib.get_close_matches(name, ["char", "byte", "bpe:1024", *names()], n=1)
    return f" Did you mean {near[0]}?" if near else ""


def load(name: str, *, download: bool = True) -> "tiktoken.Encoding":
    """An encoding by name; downloaded by tiktoken's rules if it is not in its cache, unless told not to.

    UsageError for an unknown name; NotFetched when it is not cached and not to be downloaded; DataError when
    it cannot be downloaded, which a network that does not answer makes true after seconds, and
    WORKBENCH_OFFLINE=1 at once.
    """
    import tiktoken
    import tiktoken.load

    if name not in names():
        raise UsageError(f"data.tokenizer = {name!r}: tiktoken knows {', '.join(names())}.{nearest(name)}")
    reader: Any = tiktoken.load
    own = getattr(reader, "read_file", None)
    with _lock:
        try:
            if own is not None:
                reader.read_file = _download if download else _not_asked_for
            return tiktoken.get_encoding(name)
        except (OSError, ValueError) as error:  # what requests raises are OSErrors, a wrong hash a ValueError
            refusal = DataError if download else NotFetched
            raise refusal(
                f"tokenizer {name}: its vocabulary is not in tiktoken's cache ({_cache()}) and cannot be "
                f"downloaded ({_short(error)}). On a machine with a network run "
                f"`TIKTOKEN_CACHE_DIR=DIR python -c \"import tiktoken; tiktoken.get_encoding('{name}')\"`, "
                "copy DIR here and set TIKTOKEN_CACHE_DIR to it; or use tokenizer char, byte or bpe:1024, "
                "which need none."
            ) from None
        finally:
            if own is not None:
                reader.read_file = own


def _cache() -> str:
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if variable in os.environ:
            return f"{variable}={os.environ[variable]}"
    return "TIKTOKEN_CACHE_DIR is not set"


def _download(url: str) -> bytes:
    """What tiktoken's own reader does, with time limits, and refusing when told to stay offline."""
    if offline():
        raise OSError("WORKBENCH_OFFLINE is set")
    import requests

    response = requests.get(url, timeout=(_CONNECT, _SILENCE))
    response.raise_for_status()
    return response.content


def _not_asked_for(url: str) -> bytes:
    raise OSError("it is to be fetched, and nobody asked for that yet")


def _short(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= 160 else f"{type(error).__name__}: {text[:120]}…"
