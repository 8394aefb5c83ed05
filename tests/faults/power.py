"""A file system that loses what was not fsynced: what a process does to it is recorded, and cut off at any point.

`Recording` notes every operation below a folder, in order, while the real ones happen. `Disk` replays a beginning of
them on a model of names and contents, and makes the folders that a power cut may leave. What POSIX promises and no
more: a file's content is what it was at its last fsync, and any part of what came after; a directory's names are
those at its own last fsync, and any of the changes after it, in the order of each name.
"""

import contextlib
import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


class Op(NamedTuple):
    kind: str
    """make, mkdir, write, cut, sync, rename, remove"""
    path: str
    """Relative to the folder; of a rename, what is renamed."""
    to: str = ""
    data: bytes = b""
    at: int = 0
    """Where a write begins; to what length a file is cut."""


class Recording:
    """Of one folder, by this process. Files that native code or Python's own file objects write are read when they are
    synced, renamed or listed for the first time: until then nothing is promised about them anyway."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ops = folder.resolve(), list[Op]()
        self._lock = threading.RLock()
        self._seen: dict[str, bytes] = {}
        """Contents as the operations so far give them."""

    def _name(self, path: Any, dir_fd: int | None = None) -> str | None:
        """Relative to the folder; None for anything outside of it."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        elif dir_fd is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), os.fsdecode(path))
        text = os.path.abspath(os.fsdecode(path))
        if text == str(self.folder):
            return "."
        return text[len(str(self.folder)) + 1 :] if text.startswith(f"{self.folder}/") else None

    def _catch_up(self, name: str) -> None:
        """Note what was written to a file behind our back."""
        path = self.folder / name
        if not path.is_file():
            return
        data = path.read_bytes()
        if name not in self._seen:
            self.ops.append(Op("make", name))
            self._seen[name] = b""
        before = self._seen[name]
        if data != before:
            kept = len(before) if data.startswith(before) else 0
            if not kept and before:
                self.ops.append(Op("cut", name))
            self.ops.append(Op("write", name, data=data[kept:], at=kept))
            self._seen[name] = data

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        real = {name: getattr(os, name) for name in WRAPPED}
        for name, function in real.items():
            setattr(os, name, self._wrapped(name, function))
        try:
            yield
        finally:
            for name, function in real.items():
                setattr(os, name, function)
            for path in self.folder.rglob("*"):
                if path.is_file():
                    self._catch_up(str(path.relative_to(self.folder)))

    def _wrapped(self, kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            try:
                name = self._name(args[0], more.get("dir_fd"))
            except OSError:
                name = None
            if name is None:
                return real(*args, **more)
            with self._lock:
                there = os.path.lexists(self.folder / name)
                if kind in ("fsync", "rename", "replace"):
                    self._catch_up(name)
                done = real(*args, **more)
                self._note(kind, name, there, args)
                return done

        return call

    def _note(self, kind: str, name: str, there: bool, args: tuple[Any, ...]) -> None:
        if kind == "open":
            if not there:
                self.ops.append(Op("make", name))
                self._seen[name] = b""
            elif args[1] & os.O_TRUNC:
                self._catch_up(name)
        elif kind == "ftruncate":
            self.ops.append(Op("cut", name, at=args[1]))
            self._seen[name] = self._seen[name][: args[1]]
        elif kind in ("write", "pwrite"):
            self._catch_up(name)
        elif kind == "mkdir":
            self.ops.append(Op("mkdir", name))
        elif kind == "fsync":
            self.ops.append(Op("sync", name))
        elif kind in ("rename", "replace"):
            to = self._name(args[1])
            assert to is not None, "renamed out of the folder"
            self.ops.append(Op("rename", name, to=to))
            for known in [k for k in self._seen if k == name or k.startswith(f"{name}/")]:
                self._seen[to + known[len(name) :]] = self._seen.pop(known)
        else:
            self.ops.append(Op("remove", name))
            self._seen.pop(name, None)


WRAPPED = ("open", "write", "pwrite", "ftruncate", "fsync", "rename", "replace", "mkdir", "unlink", "remove", "rmdir")


@dataclass
class _File:
    content: bytes = b""
    synced: bytes = b""
    pending: list[Op] = field(default_factory=list)


@dataclass
class _Folder:
    names: "dict[str, _File | _Folder]" = field(default_factory=dict)
    synced: "dict[str, _File | _Folder]" = field(default_factory=dict)
    pending: "list[tuple[str, str, _File | _Folder | None]]" = field(default_factory=list)
    """Since the last sync: (a name that went, a name that came, what came)."""

    def change(self, gone: str, came: str, what: "_File | _Folder | None") -> None:
        self.pending.append((gone, came, what))
        _change(self.names, gone, came, what)


def _change(names: "dict[str, _File | _Folder]", gone: str, came: str, what: "_File | _Folder | None") -> None:
    names.pop(gone, None)
    if what is not None:
        names[came] = what


class Disk:
    """The folder as a beginning of its operations leaves it."""

    def __init__(self, ops: list[Op]) -> None:
        self.root = _Folder()
        for op in ops:
            self._do(op)

    def _folder(self, path: str) -> tuple[_Folder, str]:
        folder = self.root
        *above, name = path.split("/")
        for part in above:
            inner = folder.names[part]
            assert isinstance(inner, _Folder)
            folder = inner
        return folder, name

    def _do(self, op: Op) -> None:
        if op.path == ".":
            self._do_to(self.root, op)
            return
        folder, name = self._folder(op.path)
        if op.kind in ("make", "mkdir"):
            folder.change("", name, _Folder() if op.kind == "mkdir" else _File())
        elif op.kind == "remove":
            folder.change(name, "", None)
        elif op.kind == "rename":
            into, new = self._folder(op.to)
            assert into is folder, "the model knows renames within a folder"
            folder.change(name, new, folder.names[name])
        else:
            self._do_to(folder.names[name], op)

    def _do_to(self, what: "_File | _Folder", op: Op) -> None:
        if isinstance(what, _Folder):
            what.synced, what.pending = dict(what.names), []
        elif op.kind == "sync":
            what.synced, what.pending = what.content, []
        else:
            what.content = _apply(what.content, op)
            what.pending.append(op)

    def put(self, to: Path, chance: random.Random | None = None) -> None:
        """Make it real: all of it (a process was killed), or with `chance` what a power cut leaves."""
        _put(self.root, to, chance)


def _apply(content: bytes, op: Op) -> bytes:
    if op.kind == "cut":
        return content[: op.at]
    return content[: op.at] + op.data + content[op.at + len(op.data) :]


def _put(folder: _Folder, to: Path, chance: random.Random | None) -> None:
    to.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = _names_left(folder, chance) if chance else folder.names
    for name, what in names.items():
        if isinstance(what, _Folder):
            _put(what, to / name, chance)
        else:
            (to / name).touch(mode=0o600)
            (to / name).write_bytes(_content_left(what, chance) if chance else what.content)


def _names_left(folder: _Folder, chance: random.Random) -> "dict[str, _File | _Folder]":
    """Those of the last sync, and any changes since: each only with all earlier ones of the same names."""
    names, lost = dict(folder.synced), set[str]()
    share = chance.choice((0.0, 0.3, 0.7, 1.0))
    for gone, came, what in folder.pending:
        touched = {gone, came} - {""}
        if touched & lost or chance.random() >= share:
            lost |= touched
        else:
            _change(names, gone, came, what)
    return names


def _content_left(file: _File, chance: random.Random) -> bytes:
    """That of the last sync, and any part of what was written since."""
    if not file.pending:
        return file.synced
    grown = ("garbage",) if file.synced else ()  # a new file's blocks are never shown before they are written
    way = chance.choice(("synced", "all", "torn", "zeros", *grown))
    if way == "synced":
        return file.synced
    if way == "all":
        return file.content
    content = file.synced
    for op in file.pending[: chance.randrange(len(file.pending))]:
        content = _apply(content, op)
    kept = chance.randint(min(len(file.synced), len(content)), len(content))
    if way == "torn":
        return content[: max(kept, len(content) - 7)] if chance.random() < 0.5 else content[:kept]
    missing = max(0, len(file.content) - kept)
    return content[:kept] + (bytes(missing) if way == "zeros" else chance.randbytes(missing))
