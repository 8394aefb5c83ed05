"""`workbench doctor`: what this machine lacks for training in a terminal, and how to mend each thing.

torch is asked about in a subprocess: its import takes seconds, and a broken one must not break the doctor.
"""

import json as json_
import locale
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from workbench.data import cache
from workbench.data.visible import visible
from workbench.errors import WorkbenchError
from workbench.runs import FORMAT, directory
from workbench.runs.files import dump

_ASK_TORCH = """
import json, torch
gpus = [[torch.cuda.get_device_name(i), torch.cuda.get_device_properties(i).total_memory]
        for i in range(torch.cuda.device_count())]
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "gpus": gpus,
                  "mps": torch.backends.mps.is_available(),
                  "capability": torch.backends.cpu.get_cpu_capability()}))
"""


class Finding(NamedTuple):
    """`level` is ok, note (works, with less) or missing (does not work)."""

    level: str
    about: str
    found: str
    remedy: str = ""


def tell(runs: str | None, *, json: bool) -> int:
    """Print the findings. Exit code 1 if something that training needs is missing."""
    findings = [*_python(), *_torch(), *_machine(), *_places(runs), *_terminal(), *_login()]
    for f in findings:
        if json:
            print(dump({"format": FORMAT, "type": "finding", **f._asdict()}))
            continue
        mark = {"ok": "ok  ", "note": "note", "missing": "MISS"}[f.level]
        print(f"{mark}  {f.about:<10} {visible(f.found)}")
        if f.remedy:
            print(f"{'':16} → {visible(f.remedy)}")
    return 1 if any(f.level == "missing" for f in findings) else 0


def _python() -> Iterator[Finding]:
    yield Finding("ok", "python", f"{platform.python_version()} on {platform.system()} {platform.release()}")


def _torch() -> Iterator[Finding]:
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _ASK_TORCH], capture_output=True, text=True, timeout=120, check=True
        )
        told = json_.loads(asked.stdout)
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or ["no message"]
        yield Finding("missing", "torch", f"cannot be imported: {last[0]}", "pip install 'torch>=2.11,<2.14'")
        return
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        yield Finding("missing", "torch", f"could not be asked: {error}", "pip install 'torch>=2.11,<2.14'")
        return
    yield Finding("ok", "torch", f"{told['version']}, CPU kernels {told['capability']}")
    for name, memory in told["gpus"]:
        yield Finding("ok", "gpu", f"{name}, {memory / 2**30:.0f} GiB, CUDA {told['cuda']}")
    if not told["gpus"]:
        if told["mps"]:
            yield Finding("ok", "gpu", "Metal (mps)")
        elif shutil.which("nvidia-smi"):
            yield Finding(
                "note",
                "gpu",
                "there is an NVIDIA driver, but this torch sees no GPU",
                "install a CUDA build of torch",
            )
        else:
            yield Finding("note", "gpu", "none: presets train on the CPU; gpt2-124m is for a GPU")


def _machine() -> Iterator[Finding]:
    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding(
        "ok",
        "machine",
        f"{cores} cores, {memory.total / 2**30:.0f} GiB of memory, {memory.available / 2**30:.0f} free",
    )


def _places(runs: str | None) -> Iterator[Finding]:
    try:
        caches = cache.root()
    except WorkbenchError as error:
        yield Finding("missing", "cache", str(error))
        caches = None
    for about, place, variable in (
        ("runs", directory.runs_folder(runs), "--runs-dir or WORKBENCH_RUNS"),
        ("cache", caches, "WORKBENCH_CACHE"),
    ):
        if place is None:
            continue
        there = _nearest(place)
        free = shutil.disk_usage(there).free
        if not os.access(there, os.W_OK):
            yield Finding("missing", about, f"{place} cannot be written", f"choose another place with {variable}")
        elif free < 2**30:
            yield Finding("note", about, f"{place}: {free / 2**20:.0f} MiB free", f"make room, or move it: {variable}")
        else:
            yield Finding("ok", about, f"{place}: {free / 2**30:.0f} GiB free")


def _terminal() -> Iterator[Finding]:
    encoding = locale.getpreferredencoding(False)
    if encoding.lower().replace("-", "") != "utf8":
        yield Finding("note", "encoding", encoding, "export LANG=C.UTF-8, or ↵ and curves come out garbled")
    if not sys.stdout.isatty():
        yield Finding("note", "terminal", "stdout is not one: plain lines, no progress line")
        return
    size = shutil.get_terminal_size()
    colours = "true colour" if os.environ.get("COLORTERM") in ("truecolor", "24bit") else os.environ.get("TERM", "?")
    small = (size.columns, size.lines) < (80, 24)
    yield Finding(
        "note" if small else "ok", "terminal", f"{size.columns}×{size.lines}, {colours}",
        "80×24 or larger shows more" if small else "",
    )  # fmt: skip
    if os.environ.get("TMUX"):
        yield from _tmux()


def _tmux() -> Iterator[Finding]:
    wanted = (
        ("set-clipboard", "on", "copying over OSC 52"),
        ("focus-events", "on", "pausing redraws when hidden"),
    )
    for option, value, why in wanted:
        try:
            asked = subprocess.run(
                ["tmux", "show", "-gv", option], capture_output=True, text=True, timeout=5, check=True
            )
        except (OSError, subprocess.SubprocessError):
            continue
        if asked.stdout.strip() != value:
            found = f"{option} is {asked.stdout.strip()}"
            yield Finding("note", "tmux", found, f"for {why}: `set -g {option} {value}` in ~/.tmux.conf")


def _login() -> Iterator[Finding]:
    """logind may kill what a session leaves behind, even in a session of its own."""
    settings = [Path("/etc/systemd/logind.conf"), *sorted(Path("/etc/systemd/logind.conf.d").glob("*.conf"))]
    kills = False
    for file in settings:
        try:
            lines = file.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition("=")
            if key.strip() == "KillUserProcesses":
                kills = value.strip().lower() in ("yes", "true", "1", "on")
    if kills:
        yield Finding(
            "note", "logind", "KillUserProcesses=yes ends your runs when you log out",
            "`loginctl enable-linger`, or start with `systemd-run --user --scope workbench …`",
        )  # fmt: skip


def _nearest(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
