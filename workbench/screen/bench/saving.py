"""What a preset's file says of itself, and where the screen suggests to save one."""

import re
from pathlib import Path

from workbench import preset as presets
from workbench.screen.bench.bench import Bench


def described(path: Path) -> str:
    """The comment that a preset's file begins with, as one paragraph a block; "" where there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(8192)
    except OSError:
        return ""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if not line.startswith("#"):
            if line.strip():
                break
            continue
        said = line.removeprefix("#").strip()
        if said:
            blocks[-1].append(said)
        elif blocks[-1]:
            blocks.append([])
    return "\n".join(" ".join(block) for block in blocks if block)


def first_line(path: Path) -> str:
    """The first sentence of that comment."""
    text = described(path).partition("\n")[0]
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0]


def suggested(bench: Bench) -> str:
    """Where the settings would be saved: the user's own file that they came from, else NAME.toml right here."""
    if bench.path is not None and bench.path not in presets.shipped().values():
        return str(bench.path)
    return f"./{bench.as_new.name}.toml"
