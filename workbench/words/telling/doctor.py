"""`workbench doctor`: what this machine lacks for training in a terminal, and how to mend each thing.

torch is asked about in a subprocess: its import takes seconds, and a broken one must not break the doctor.
"""

import contextlib
import json as json_
import locale
import os
import platform
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from workbench.data import cache, tuned
from workbench.data.visible import visible
from workbench.errors import WorkbenchError
from workbench.runs import FORMAT, directory
from workbench.runs.files import dump

_ASK_TORCH = """
import json, torch
from workbench.training import device
gpus = [[torch.cuda.get_device_name(i), torch.cuda.get_device_properties(i).total_memory]
        for i in range(torch.cuda.device_count())]
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "gpus": gpus,
                  "mps": torch.backends.mps.is_available(),
                  "capability": torch.backends.cpu.get_cpu_capability(), "machines": device.machines()}))
"""


class Finding(NamedTuple):
    """`level` is ok, note (works, with less) or missing (does not work)."""

    level: str
    about: str
    found: str
    remedy: str = ""


def tell(runs: str | None, *, json: bool) -> int:
    """Print the findings. Exit code 1 if something that training needs is missing."""
    asked = _ask_torch()
    kept = [] if isinstance(asked, Finding) else _tuned(asked["machines"])
    findings = [*_python(), *_torch(asked), *_machine(), *_places(runs), *kept, *_terminal(), *_login()]
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


def _ask_torch() -> dict[str, Any] | Finding:
    """What torch tells of itself and of this machine, or that it cannot."""
    remedy = "pip install 'torch>=2.11,<2.14'"
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _ASK_TORCH], capture_output=True, text=True, timeout=120, check=True
        )
        told: dict[str, Any] = json_.loads(asked.stdout)
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or ["no message"]
        return Finding("missing", "torch", f"cannot be imported: {last[0]}", remedy)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return Finding("missing", "torch", f"could not be asked: {error}", remedy)
    return told


def _torch(told: dict[str, Any] | Finding) -> Iterator[Finding]:
    if isinstance(told, Finding):
        yield told
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


def _tuned(machines: list[tuned.Facts]) -> Iterator[Finding]:
    """What new runs on the `machines` that there are here take from a measurement instead of the rule."""
    for kept in tuned.kept():
        c = kept.choice
        model, T = kept.shape.get("model"), kept.shape.get("T")
        kind = model.get("kind") if isinstance(model, dict) else None
        found = f"{kind}, T = {T}: {c.precision}, {c.attention} attention, {c.threads} threads; {kept.path}"
        if kept.machine in machines:
            yield Finding("ok", "tuned", found)
        else:
            of = _other(kept.machine, machines)
            yield Finding("note", "tuned", f"{found}: of {of}, so not in use", "`workbench bench --tune`")


def _other(machine: tuned.Facts, machines: list[tuned.Facts]) -> str:
    """What about a machine is of none that there is here."""
    alike = [here for here in machines if here["device"] == machine.get("device")]
    if not alike:
        return f"a {machine.get('device')} device"
    texts = {"device_model": "{}", "processors": "{} processors", "torch_version": "torch {}"}
    differ = [name for name in texts if all(here[name] != machine.get(name) for here in alike)]
    return ", ".join(texts[name].format(machine.get(name)) for name in differ) or "another machine"


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


def _login(root: Path = Path("/")) -> Iterator[Finding]:
    """What a log-out ends. A session's own processes: where logind kills them, whatever session they have made
    themselves since. Those of the user's service manager: with it, unless the user lingers."""
    where = _cgroup(root)
    if not (root / "run/systemd/system").is_dir() or where is None:
        return  # no systemd, or started by something else than a log-in
    user = _user()
    lingers = (root / "var/lib/systemd/linger" / user).exists()
    linger = "" if lingers else "once `loginctl enable-linger`, and "
    if where == "manager":
        if not lingers:
            found = "the user's service manager ends your runs when you log out for the last time"
            yield Finding("note", "logind", found, "once `loginctl enable-linger`")
    elif _killed_at_logout(_logind(root), user):
        found = "KillUserProcesses=yes ends your runs when you log out, nohup or tmux notwithstanding"
        yield Finding("note", "logind", found, f"{linger}start with `systemd-run --user --scope workbench …`")


def _cgroup(root: Path) -> str | None:
    """Whose cgroup this process is in: a log-in `session`'s, the user's service `manager`'s, or neither's."""
    try:
        paths = (root / "proc/self/cgroup").read_text()
    except OSError:
        return None
    if re.search(r"/user@\d+\.service(/|$)", paths, re.MULTILINE):
        return "manager"
    return "session" if re.search(r"/session-[^/]+\.scope(/|$)", paths, re.MULTILINE) else None


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        return str(os.getuid())


def _killed_at_logout(settings: dict[str, str], user: str) -> bool:
    """As logind decides: who is excluded, else who alone is named, else KillUserProcesses."""
    if user in settings.get("KillExcludeUsers", "root").split():
        return False
    if only := settings.get("KillOnlyUsers", "").split():
        return user in only
    return settings.get("KillUserProcesses", "").lower() in ("yes", "y", "true", "t", "1", "on")


def _logind(root: Path) -> dict[str, str]:
    """What logind's files say: the first main file there is, then the drop-ins by name, of two with one name the first
    folder's. Where no file says it, the one that runs is asked: the default was built in."""
    folders = [root / place / "systemd" for place in ("etc", "run", "usr/local/lib", "usr/lib")]
    main = next((file for folder in folders if (file := folder / "logind.conf").exists()), None)
    drop_ins: dict[str, Path] = {}
    for folder in reversed(folders):
        drop_ins |= {file.name: file for file in (folder / "logind.conf.d").glob("*.conf")}
    settings: dict[str, str] = {}
    for file in [*filter(None, [main]), *(drop_ins[name] for name in sorted(drop_ins))]:
        with contextlib.suppress(OSError):
            settings |= _login_section(file.read_text(errors="replace"))
    if "KillUserProcesses" not in settings and (asked := _ask_logind()):
        settings["KillUserProcesses"] = asked
    return settings


def _login_section(text: str) -> dict[str, str]:
    settings, section = {}, ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line
        elif section == "[Login]" and "=" in line and line[0] not in "#;":
            key, _, value = line.partition("=")
            settings[key.strip()] = value.strip()
    return settings


def _ask_logind() -> str:
    """`yes` or `no` from the one that runs, with the default that its distribution built in; "" without an answer."""
    try:
        asked = subprocess.run(
            ["loginctl", "show-session", "-p", "KillUserProcesses"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return asked.stdout.strip().partition("=")[2]


def _nearest(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
