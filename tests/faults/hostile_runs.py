"""A run directory damaged in every way that a disk, another program or a person with bad intent can damage it."""

import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from workbench.runs.records import DTYPE

HARM = "\x1b]52;c;aGk=\x07\x1b[2J\x9b31m\u202eevil\u2066\r\n\x00"
"""Escape sequences (one of them sets the clipboard), C1, bidi controls, a NUL."""
STRANGE: tuple[Any, ...] = (
    None, True, -1, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", HARM, "9" * 400, [], [[]], {},
    {"a": {"b": []}},
    [1, "x", None], {HARM: HARM}, -(2**70), 0,
)  # fmt: skip
"""What a field of JSON may hold that no worker writes."""
FILES = (
    "status.json", "steps.bin", "steps.json", "events.jsonl", "preset.toml", "resolved.json", "worker.log", "lock",
    "commands", "checkpoints", "inspect",
)  # fmt: skip
NUMBERS = (0.0, -1.0, float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 5e-324)
COUNTS = (0, 1, 2**31, 2**32 - 1, 2**53 + 1, 2**63, 2**64 - 1)


def damage(run: Path, seed: int) -> str:
    """Damage a run in one way, the `seed`-th: those of small numbers go through every way once. Returns what it was."""
    chance = random.Random(seed)
    way = WAYS[seed % len(WAYS)]
    return f"{way.__name__[1:].replace('_', ' ')}: {way(run, chance)}"


def _pick(run: Path, chance: random.Random) -> Path:
    return run / chance.choice(FILES)


def _gone(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _put(path: Path, data: bytes) -> str:
    _gone(path)
    path.write_bytes(data)
    return f"{path.name} {data[:40]!r}"


def _a_fifo_in_place(run: Path, chance: random.Random) -> str:
    path = _pick(run, chance)
    _gone(path)
    os.mkfifo(path)
    return path.name


def _a_fifo_for_the_status(run: Path, chance: random.Random) -> str:
    _gone(run / "status.json")
    os.mkfifo(run / "status.json")
    return "status.json"


def _a_fifo_for_the_records(run: Path, chance: random.Random) -> str:
    name = chance.choice(("steps.json", "steps.bin"))
    _gone(run / name)
    os.mkfifo(run / name)
    return name


def _a_fifo_for_the_events(run: Path, chance: random.Random) -> str:
    _gone(run / "events.jsonl")
    os.mkfifo(run / "events.jsonl")
    return "events.jsonl"


def _a_fifo_for_the_log(run: Path, chance: random.Random) -> str:
    _gone(run / "worker.log")
    os.mkfifo(run / "worker.log")
    return "worker.log"


def _a_directory_in_place(run: Path, chance: random.Random) -> str:
    path = _pick(run, chance)
    _gone(path)
    path.mkdir()
    return path.name


def _a_loop_of_links(run: Path, chance: random.Random) -> str:
    path = _pick(run, chance)
    _gone(path)
    path.symlink_to(path)
    return path.name


def _missing(run: Path, chance: random.Random) -> str:
    path = _pick(run, chance)
    _gone(path)
    return path.name


def _empty(run: Path, chance: random.Random) -> str:
    return _put(_pick(run, chance), b"")


def _cut(run: Path, chance: random.Random) -> str:
    path = run / chance.choice(FILES[:6])
    data = path.read_bytes()
    return _put(path, data[: chance.randrange(len(data))])


def _random_bytes(run: Path, chance: random.Random) -> str:
    return _put(_pick(run, chance), chance.randbytes(chance.choice((1, 84, 5000))))


def _nuls(run: Path, chance: random.Random) -> str:
    return _put(_pick(run, chance), bytes(chance.choice((1, 84, 5000))))


def _another_document(run: Path, chance: random.Random) -> str:
    text = chance.choice(
        ("[]", '"x"', "3", "null", '{"format":1}', "[" * 100_000, '{"format":1e999}', '{"format":"1"}')
    )
    return _put(
        run / chance.choice(("status.json", "steps.json", "events.jsonl", "resolved.json")), text.encode() + b"\n"
    )


def _a_newer_format(run: Path, chance: random.Random) -> str:
    path = run / chance.choice(("status.json", "steps.json", "resolved.json", "preset.toml", "events.jsonl"))
    text = path.read_text()
    if path.suffix == ".toml":
        return _put(path, b"format = 99\n" + text.encode())
    return _put(path, text.replace('"format":1', '"format":99').encode())


def _a_field_of_the_status(run: Path, chance: random.Random) -> str:
    return _a_field_of(run / "status.json", chance)


def _a_field_of_the_records_description(run: Path, chance: random.Random) -> str:
    return _a_field_of(run / "steps.json", chance)


def _a_field_of(path: Path, chance: random.Random) -> str:
    document = json.loads(path.read_text())
    key, value = chance.choice(list(document)), chance.choice(STRANGE)
    document[key] = value
    path.write_text(json.dumps(document) + "\n")
    return f"{key} = {value!r:.40}"


def _a_description_of_other_records(run: Path, chance: random.Random) -> str:
    kinds = chance.choice(("<f8", "<u1", "O", "S8", "V0", "<c16", "<M8[s]", "x", "<f4"))
    described = [[name, kinds] for name in DTYPE.names or ()]
    (run / "steps.json").write_text(json.dumps({"format": 1, "dtype": described}))
    return kinds


def _fields_of_events(run: Path, chance: random.Random) -> str:
    path = run / "events.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    told = []
    for _ in range(chance.choice((1, 3, 20))):
        event = chance.choice(events)
        where = chance.choice(list(event))
        event[where] = value = chance.choice(STRANGE)
        told.append(f"{event.get('type')}.{where} = {value!r:.30}")
    path.write_text("".join(json.dumps(e) + "\n" for e in events))
    return "; ".join(map(ascii, told))


def _made_up_events(run: Path, chance: random.Random) -> str:
    keys = ("step", "time", "at", "loss", "val_loss", "train_loss", "text", "prompt", "changes", "base", "id", "state",
            "reason", "path", "best", "records", "events_bytes", "attempt", "checkpoint", "edits_again", "culprit",
            "offer", "params", "vocab", "device", "seconds", "exit_code", "perplexity", "target_reached")  # fmt: skip
    types = ("start", "eval", "sample", "checkpoint", "edit", "answer", "warning", "resume", "end", HARM, 7, None)
    lines = []
    for _ in range(20):
        type = chance.choice(types)
        event = {"format": 1, "type": type, **{key: chance.choice(STRANGE) for key in keys if chance.random() < 0.7}}
        lines.append(json.dumps(event))
    with (run / "events.jsonl").open("a") as file:
        file.write("\n".join(lines) + "\n")
    return "20"


def _edits_that_no_preset_takes(run: Path, chance: random.Random) -> str:
    key = chance.choice(("optimizer.lr", "batch.T", "batch.B", HARM, "schedule.steps", "model.width"))
    value = chance.choice(STRANGE)
    event = {"format": 1, "type": "edit", "time": 0.0, "at": "2026-01-01T00:00:00Z", "step": chance.choice((0, 3,
             10**30)),
             "id": HARM, "changes": {key: [1, value]}, "base": {"row": 0, "token": 0, "epoch": 0}}  # fmt: skip
    with (run / "events.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")
    return f"{key!a} = {value!r:.40}"


def _numbers_of_records(run: Path, chance: random.Random) -> str:
    path = run / "steps.bin"
    records = np.frombuffer(path.read_bytes(), dtype=DTYPE).copy()
    told = []
    for _ in range(chance.choice((1, 5, len(records) * 4))):
        name = chance.choice(DTYPE.names or ())
        value: Any = (
            chance.choice(NUMBERS)
            if DTYPE[name].kind == "f"
            else chance.choice(COUNTS) % 2 ** (8 * DTYPE[name].itemsize)
        )
        rows = chance.choice((slice(None), slice(-1, None), slice(chance.randrange(len(records)), None)))
        records[name][rows] = value
        told.append(f"{name} = {value}")
    path.write_bytes(records.tobytes())
    return "; ".join(told[:5])


def _bits_of_records(run: Path, chance: random.Random) -> str:
    path = run / "steps.bin"
    data = bytearray(path.read_bytes())
    for _ in range(200):
        struct.pack_into("<B", data, chance.randrange(len(data)), chance.randrange(256))
    path.write_bytes(data)
    return "200"


def _escape_sequences_in_every_text(run: Path, chance: random.Random) -> str:
    path = run / "events.jsonl"
    lines = []
    for line in path.read_text().splitlines():
        event = json.loads(line)
        lines.append(
            json.dumps({k: HARM if isinstance(v, str) and k not in ("type", "run") else v for k, v in event.items()})
        )
    path.write_text("\n".join(lines) + "\n")
    status = json.loads((run / "status.json").read_text())
    status |= {
        "state": chance.choice(("failed", "diverged", HARM, "lost")),
        "reason": HARM,
        "phase": HARM,
        "host": HARM,
    }
    (run / "status.json").write_text(json.dumps(status))
    (run / "worker.log").write_text(HARM * 20)
    return status["state"][:10]


def _a_preset_with_escape_sequences(run: Path, chance: random.Random) -> str:
    text = (run / "preset.toml").read_text()
    quoted = json.dumps(HARM)
    old, new = chance.choice((
        ('name = "', f"name = {quoted} #"), ("seed = ", f"{quoted} = 3\nseed = "),
        ("prompt = ", f"prompt = {quoted} #"),
        ("lr = ", "lr = nan #"), ("B = ", "B = 99999999999999999999 #"), ("T = ", "T = 9 #"),
    ))  # fmt: skip
    return _put(run / "preset.toml", text.replace(old, new, 1).encode())


def _a_hostile_name(run: Path, chance: random.Random) -> str:
    name = HARM.replace("\x00", "").replace("/", "") + "[@click=screen.quit()]x["
    run.rename(run.with_name(name))
    return ascii(name)


WAYS: tuple[Callable[[Path, random.Random], str], ...] = (
    _a_fifo_for_the_status, _a_fifo_for_the_records, _a_fifo_for_the_events, _a_fifo_for_the_log, _a_fifo_in_place,
    _a_directory_in_place, _a_loop_of_links, _missing, _empty, _cut, _random_bytes, _nuls, _another_document,
    _a_newer_format, _a_field_of_the_status, _a_field_of_the_records_description, _a_description_of_other_records,
    _fields_of_events, _made_up_events, _edits_that_no_preset_takes, _numbers_of_records, _bits_of_records,
    _escape_sequences_in_every_text, _a_preset_with_escape_sequences, _a_hostile_name,
)  # fmt: skip
