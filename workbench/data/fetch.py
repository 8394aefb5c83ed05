"""Downloads: pinned, resumable, put in place whole, and clear about what to do without a network."""

import contextlib
import fcntl
import hashlib
import http.client
import importlib
import os
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPMessage
from io import BufferedRandom
from pathlib import Path
from typing import IO

from workbench.data import cache
from workbench.data.catalog import Dataset
from workbench.data.network import offline
from workbench.data.scan import Progress, silent
from workbench.errors import DataError

_SILENCE = 20.0  # seconds without a byte after which a network counts as not there
_READ = 64 << 10  # bytes; small, so that progress moves and a cancel is heard


class FetchCancelled(DataError):
    """The download was cancelled; what has come is kept and will be resumed."""


def fetch(
    dataset: Dataset,
    *,
    url: str | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    timeout: float = _SILENCE,
) -> Path:
    """Download a dataset into <cache>/downloads, check its SHA-256, and return its path.

    What an earlier try has left is resumed. `timeout` is in seconds without a byte; `url` stands in for the
    dataset's own. DataError, with what to do, for no network, a cut or a wrong file; FetchCancelled.
    """
    target = dataset.path
    assert target is not None, f"{dataset.name} is embedded"
    cache.folder("downloads")
    if offline():
        raise _unreachable(dataset, target, "WORKBENCH_OFFLINE is set")
    part = _part_file(target)
    try:
        with part:
            _download(dataset, target, part, url or dataset.url, progress or silent, cancelled, timeout)
            os.replace(part.name, target)
    finally:
        if part.name.endswith(".tmp"):
            Path(part.name).unlink(missing_ok=True)
    return target


def _part_file(target: Path) -> BufferedRandom:
    """The unfinished download, locked; another one, not to be resumed, if some process is at that one."""
    try:
        part = open(f"{target}.part", "a+b", opener=_private)  # noqa: SIM115
        try:
            fcntl.flock(part.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held the lock until now may have finished: then this is the target by its old name.
            if os.path.samestat(os.fstat(part.fileno()), os.stat(part.name)):
                return part
        except OSError:
            pass
        part.close()
        handle, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".tmp", dir=target.parent)
        os.close(handle)
        return open(name, "a+b")
    except OSError as error:
        raise cache.unwritable(target.parent, error) from None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _download(
    dataset: Dataset,
    target: Path,
    part: BufferedRandom,
    url: str,
    progress: Progress,
    cancelled: Callable[[], bool],
    timeout: float,
) -> None:
    had = part.seek(0, os.SEEK_END)
    if had > dataset.bytes:
        had = 0
        part.truncate(0)
    if had < dataset.bytes:
        _receive(dataset, target, part, had, url, progress, cancelled, timeout)
    size = part.seek(0, os.SEEK_END)
    if size < dataset.bytes:
        raise DataError(
            f"{dataset.name}: the download from {url} ended after {size} of {dataset.bytes} bytes. "
            f"Run `workbench data {dataset.name} --fetch` again: it goes on where it stopped."
        )
    part.seek(0)
    found = hashlib.file_digest(part, "sha256").hexdigest()
    if found != dataset.sha256:
        part.truncate(0)
        raise DataError(
            f"{dataset.name}: what {url} gave has SHA-256 {found}, expected {dataset.sha256}; it was thrown "
            "away. Something on the way changes it (a proxy, a login page): fetch it elsewhere and copy it "
            f"to {target}."
        )
    os.fsync(part.fileno())


def _receive(
    dataset: Dataset,
    target: Path,
    part: BufferedRandom,
    had: int,
    url: str,
    progress: Progress,
    cancelled: Callable[[], bool],
    timeout: float,
) -> None:
    what = f"fetching {dataset.name}"
    request = urllib.request.Request(url, headers={"Range": f"bytes={had}-"} if had else {})
    try:
        with _opener(url).open(request, timeout=timeout) as response:
            if had and not (response.headers.get("Content-Range") or "").startswith(f"bytes {had}-"):
                had = 0  # the server starts from the beginning
                part.truncate(0)
            while had <= dataset.bytes:  # one read past the end shows a file that is too long
                if cancelled():
                    raise FetchCancelled(f"{dataset.name}: the download was cancelled; fetching again goes on.")
                data = response.read(_READ)
                if not data:
                    break
                _keep(part, data)
                had += len(data)
                progress(what, min(had / dataset.bytes, 1.0))
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.truncate(0)
        raise _unreachable(dataset, target, f"{url} answered {error.code} {error.reason}") from None
    except http.client.IncompleteRead as error:
        _keep(part, error.partial)
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise _unreachable(dataset, target, f"{url}: {reason or type(error).__name__}") from None


def _keep(part: BufferedRandom, data: bytes) -> None:
    try:
        part.write(data)
        part.flush()
    except OSError as error:
        raise cache.unwritable(Path(part.name).parent, error) from None


class _OnlyToHttps(urllib.request.HTTPRedirectHandler):
    """A redirect leads to https or nowhere: whoever can read the way could otherwise be sent along it."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.lower().startswith("https://"):
            raise urllib.error.URLError(f"redirected to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url: str) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_OnlyToHttps, urllib.request.HTTPSHandler(context=_trust(url)))


def _trust(url: str) -> ssl.SSLContext | None:
    """The system's certificates; certifi's where a Python came without (macOS, from the installer)."""
    if not url.startswith("https:"):
        return None
    places = ssl.get_default_verify_paths()
    if not (places.cafile or places.capath):
        with contextlib.suppress(ImportError):
            return ssl.create_default_context(cafile=importlib.import_module("certifi").where())
    return ssl.create_default_context()


def _unreachable(dataset: Dataset, target: Path, reason: str) -> DataError:
    return DataError(
        f"{dataset.name}: it is not here and cannot be fetched ({reason}). Run `workbench data "
        f"{dataset.name} --fetch` on a machine with a network, or copy the file (SHA-256 {dataset.sha256}) "
        f"to {target}, or point data.dataset at a copy of your own. Datasets that need no network: "
        "python-docs, python-source, unicode-names, markov."
    )
