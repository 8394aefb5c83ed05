"""Presets as an enemy, a broken editor or a lost byte would have them: raw bytes, hostile values, odd but valid."""

import copy
import datetime
import math
from typing import Any

import tomli_w
from hypothesis import strategies as st

from workbench import preset as presets

TEXTS = [path.read_bytes() for path in presets.shipped().values()]
ESCAPE = "\x1b]0;owned\x07\x1b[31m\x9b2J\u202e"
DEEP = b"[" * 10_000 + b"]" * 10_000

LITERALS = [
    b"9" * 5000, b"-" + b"9" * 5000, b"0x" + b"f" * 6000, b"9223372036854775808", b"-1", b"0", b"1e308", b"1e400",
    b"5e-324", b"nan", b"inf", b"-inf", b"true", b"false", b"1979-05-27", b"07:32:00", b"1979-05-27T07:32:00Z", b"[]",
    b"{}", b"[[1]]", b"[1, 'a']", DEEP, b"{a = " * 3000 + b"1" + b"}" * 3000, b'"\\u001b[31m"', b'"\\u0000"',
    b'"../../etc/passwd"', b'"' + b"x" * 5000 + b'"', b"'''\n\n'''", b"{a.b.c = 1}", b'"\\ud800"', b"1.2.3", b"",
]  # fmt: skip
LINES = [
    b"B = 1", b"[batch]", b"[[batch]]", b"[batch.B]", b'"\\u001b[31mB" = 1', b"[\"\\u009b2J\"]",
    b"a." * 50_000 + b"a = 1",
    b"[" + b"a." * 20_000 + b"a]", b"x = {" + b"a." * 20_000 + b"a = 1}", b"x = " + DEEP, b"[a" + b"]" * 50, b"\x00",
    b"= 1", b'"" = 1', b"format = 2", b"format = true", b"format = 1979-05-27", b"[data]", b"data = 1",
    b"model.kind.a = 1",
    b"batch = [1]", b'name = """', b"x = '''", b"#" + b"\x1b[2J", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3\x28",
    "schlüssel = 1".encode(), b"lr = 1", b"optimizer.lr = 1",
]  # fmt: skip


@st.composite
def raw(draw: st.DrawFn) -> bytes:
    """The bytes of a shipped preset after one to four accidents."""
    dice = draw(st.randoms(use_true_random=True))  # even chances; seeded all the same
    data = dice.choice(TEXTS)
    for _ in range(dice.randint(1, 4)):
        how = dice.randint(0, 9)
        at = dice.randint(0, len(data))
        lines = data.split(b"\n")
        row = dice.randint(0, len(lines) - 1)
        if how == 0:
            data = data[:at] + bytes([dice.randint(0, 255)]) + data[at + 1 :]
        elif how == 1:
            data = data[:at]
        elif how == 2:
            lines.insert(row, dice.choice(LINES))
            data = b"\n".join(lines)
        elif how == 3:
            lines.insert(row, lines[dice.randint(0, len(lines) - 1)])
            data = b"\n".join(lines)
        elif how in (4, 5, 6):
            key, equals, _ = lines[row].partition(b"=")
            if equals:
                lines[row] = key + b"= " + dice.choice(LITERALS)
            data = b"\n".join(lines)
        elif how == 7:
            data = data[:at] + dice.randbytes(dice.randint(0, 8)) + data[at:]
        elif how == 8:
            change = dice.choice(["crlf", "bom", "utf-16", "cr", "latin"])
            if change == "utf-16":
                data = data.decode("utf-8", "replace").encode("utf-16")
            elif change == "bom":
                data = b"\xef\xbb\xbf" + data
            elif change != "latin":
                data = data.replace(b"\n", b"\r\n" if change == "crlf" else b"\r")
            else:
                data = data.decode("utf-8", "replace").encode("latin-1", "replace") + b"\xe9"
        else:
            del lines[row]
            data = b"\n".join(lines)
    return data


TINY: dict[str, Any] = {
    "name": "hostile",
    "data": {"text": "To be or not to be,\nthat is the question.\nBe.\n" * 3, "val_fraction": 0.2},
    "batch": {"B": 2, "T": 4},
    "model": {"kind": "gpt", "layers": 1, "heads": 2, "width": 8},
    "schedule": {"steps": 2, "warmup": 1},
    "eval": {"every": 1, "tokens": 30},
    "checkpoint": {"every": 0},
    "sample": {"every": 2, "tokens": 3},
    "device": {"name": "cpu", "threads": 1},
}

NUMBERS = [
    0, -1, 1, 2**20 + 1, 2**31, 2**62, 2**63 - 1, 2**63, 10**9, 10**400, 10**5000, 0.0, -0.0, 1.5, 5e-324, 1e308,
    -1e308,
    math.inf, -math.inf, math.nan, True, False,
]  # fmt: skip
OTHERS = [
    "", "1", ESCAPE, "\x00", "../" * 50, "/etc/passwd", "~nobody-here/x", "x" * 5000, "é", "日本", "\ud800", [], {},
    [1],
    [0.9, 0.9, 0.9], [0.9], [0.9, 1.0], [math.nan, 0.5], [3, 2, 1], [1, 1], [0], [2**70], [True, 1], [[1]], {"a": 1},
    {ESCAPE: ESCAPE}, datetime.date(1979, 5, 27), datetime.time(7, 32), datetime.datetime(1979, 5, 27, 7, 32),
    "bpe:99999", "bpe:1", "bpe:٣٠٠", "gpt-9", "cuda:9", "cuda:1000", "ж",
]  # fmt: skip


@st.composite
def hostile(draw: st.DrawFn) -> tuple[dict[str, Any], list[str]]:
    """A tiny valid document in which one to three keys, also returned, have a hostile value or no right to be."""
    document = copy.deepcopy(TINY)
    dice = draw(st.randoms(use_true_random=True))
    changed = []
    for _ in range(dice.choice((1, 1, 2, 3))):
        name = dice.choice([*presets.KEYS, *presets.KEYS, "data", "batch", ESCAPE, f"batch.{ESCAPE}", "x.y"])
        value = draw(
            st.one_of(st.sampled_from(NUMBERS), st.sampled_from(OTHERS), st.integers(), st.floats(), st.text())
        )
        table, _, leaf = name.rpartition(".")
        inner = document.setdefault(table, {}) if table else document
        if isinstance(inner, dict):
            inner[leaf] = copy.deepcopy(value)
            changed.append(name)
    return document, changed


@st.composite
def valid(draw: st.DrawFn) -> dict[str, Any]:
    """Any combination of what a preset may be, on a text of a few lines."""
    dice = draw(st.randoms(use_true_random=True))
    pick = lambda *values: dice.choice(values)  # noqa: E731
    document = copy.deepcopy(TINY)
    kind, layout = pick(
        ("gpt", "stream"), ("gpt", "windows"), ("mlp", "windows"), ("bigram", "stream"), ("bigram", "windows")
    )
    document["data"] |= {
        "layout": layout, "split": pick("tail", "lines"), "order": pick("random", "sequential", "shuffled"),
        "tokenizer": pick("char", "byte", "bpe:256", "bpe:260"), "stride": pick(0, 1, 7),
        "val_fraction": pick(0.0, 0.2, 0.3),
    }  # fmt: skip
    document["batch"] = {"B": pick(1, 2, 5), "T": pick(1, 3, 4), "accum": pick(1, 2)}
    model: dict[str, Any] = {"kind": kind}
    if kind == "gpt":
        model |= {
            "layers": pick(1, 2),
            "heads": pick(1, 2),
            "width": 8,
            "bias": pick(True, False),
            "dropout": pick(0.0, 0.5),
        }
    elif kind == "mlp":
        model |= {"hidden": 5, "embedding": 2, "norm": pick("none", "batch")}
    optimizer: dict[str, Any] = {
        "kind": pick("adamw", "sgd", "muon"),
        "lr": pick(0.0, 1e-3, 0.1),
        "clip": pick(0.0, 1.0),
    }
    schedule: dict[str, Any] = {"kind": pick("cosine", "constant", "step", "wsd"), "min_lr": 0.0}
    schedule |= {"steps": pick(1, 2, 3), "warmup": pick(0, 1)}
    if schedule["kind"] == "step":
        schedule["milestones"] = pick([], [1])
    document |= {"model": model, "optimizer": optimizer, "schedule": schedule}
    document["eval"]["every"] = pick(0, 1)
    document["sample"] |= {"every": pick(0, 2), "temperature": pick(0, 0.8), "top_k": pick(0, 1)}
    document["device"] |= {"precision": pick("auto", "fp32", "bf16", "fp64")}
    return document


def as_toml(document: dict[str, Any]) -> bytes | None:
    """None for a document that TOML cannot hold (a lone surrogate, an int without end)."""
    try:
        return tomli_w.dumps(document).encode("utf-8")
    except (ValueError, TypeError):
        return None
