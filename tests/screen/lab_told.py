"""The Lab pane of an app that is tested, and what its processes would have told it, hostile text included."""

from typing import Any

from strips import HOSTILE, drawn
from textual.pilot import Pilot

from tests.screen.conftest import DOCUMENT
from workbench.screen.frame.slots import LAB
from workbench.screen.lab.pane import Lab

TINY = DOCUMENT | {"model": {"kind": "gpt", "layers": 1, "heads": 1, "width": 8}}


def pane(pilot: Pilot[int]) -> Lab:
    found = pilot.app.screen_stack[0].house.pane(LAB)  # type: ignore[attr-defined]
    assert isinstance(found, Lab)
    return found


def shown(pilot: Pilot[int]) -> str:
    return "\n".join(drawn(pane(pilot)))


def footer(pilot: Pilot[int]) -> str:
    pilot.app.screen.footer.say("")  # type: ignore[attr-defined]
    return drawn(pilot.app.screen.footer)[0]  # type: ignore[attr-defined]


def tell(pilot: Pilot[int], *objects: dict[str, Any]) -> None:
    """What a process would have told the view that is shown."""
    lab = pane(pilot)
    for told in objects:
        lab._heard_object(lab.view, told)


def probe(B: int, *, fits: bool = True, **more: Any) -> dict[str, Any]:
    measured: dict[str, Any] = {
        "memory_bytes": (30 + 3 * B) << 20, "seconds_per_step": 0.5 / B + 0.1, "tokens_per_s": 3072 / (0.5 / B + 0.1),
    }  # fmt: skip
    if not fits:
        measured = dict.fromkeys(measured)
    return {"type": "probe", "B": B, "T": 64, "accum": max(48 // B, 1), "fits": fits, **measured, **more}


PROBES = (probe(1), probe(2), probe(48), probe(96, fits=False, reason=f"out of memory {HOSTILE}"), probe(64))
FIT = {
    "type": "fit", "limit_bytes": 256 << 20, "largest": {"B": 64, "accum": 1}, "next": 96,
    "fastest": {"B": 48, "accum": 1, "tokens_per_s": 27800.0}, "sentences": [f"The largest is 64. {HOSTILE}", "Done."],
}  # fmt: skip
SCENARIOS = tuple(
    {"type": "scenario", "name": name, "B": B, "accum": accum, "tokens_per_step": 256 * B * accum, "state": state,
     "memory_bytes": memory, "sentence": f"{HOSTILE} told of {name}"}
    for name, B, accum, state, memory in (
        ("A", 128, 1, "out-of-memory", None), ("B", 8, 1, "done", 100 << 20), ("C", 8, 16, "done", 104 << 20))
)  # fmt: skip
CHECK = {
    "type": "check", "check": "accum", "title": f"Splits {HOSTILE}", "holds": True,
    "sentences": [HOSTILE * 3, "All equal."],
    "tables": [
        {"title": HOSTILE, "columns": ["split", "largest difference of the gradients", HOSTILE, "w"],
         "rows": [["64×1", 0.0, HOSTILE, None], ["8×8", 2.6e-7, "text", True], ["1×64", float("nan"), 3, 10**30]]},
        {"columns": "none"}, 7,
        {"title": "wide", "columns": [f"column {n}" for n in range(40)], "rows": [list(range(40))]},
    ],
}  # fmt: skip
COMPARED = {
    "type": "compare", "x": "steps", "differing": ["batch.B"],
    "runs": [{"run": f"/r/{B}", "label": f"B={B} {HOSTILE}", "seed": 1337, "steps": 600.0, "tokens": 600.0 * B,
              "seconds": 1.5, "loss": 2.3, "noise": 0.2, "train_loss": 2.2, "val_loss": 2.3, "gap": 0.1,
              "tokens_per_s": 600.0 * B / 1.5} for B in (1, 32)],
    "groups": [{"label": "B=1", "seeds": 2, "val_loss": 2.3, "spread": 0.1, "noise": 0.2}],
    "verdicts": [{"a": "B=1", "b": "B=32", "gap": 0.01, "spread": 0.1, "verdict": "within noise"}],
    "sentences": [HOSTILE],
}  # fmt: skip
