"""`check`: an experiment that answers one question about batches, told in tables, sentences and figures.

The trials (`workbench.training.trials`) measure; `workbench.lab.checks` says what it means, with theory beside it.
"""

from workbench.errors import UsageError
from workbench.lab.checks import accum, gradient, last_position
from workbench.lab.trial import Hear, Told, trial
from workbench.preset import Preset, to_document

CHECKS = {
    "accum": "do 64×1, 8×8 and 1×64 train alike, and what makes them differ",
    "gradient": "how much of the whole gradient is in a mini-batch's, at B = 1 … 4,096",
    "last-position": "what training on the last target alone loses",
}


def check(
    name: str,
    preset: Preset,
    hear: Hear = lambda told: None,
    *,
    after: int | None = None,
    steps: int | None = None,
) -> Told:
    """Run one check in a process of its own: its `type: check` object.

    `after` is gradient's steps of training before it looks, `steps` last-position's steps; None: its own. `hear` gets
    the phases. Raises UsageError for a preset or an option that the check has no use for, and as `trial` does.
    """
    request: Told = {"preset": to_document(preset)}
    for option, value, whose in (("after", after, "gradient"), ("steps", steps, "last-position")):
        if value is not None and name != whose:
            raise UsageError(f"--{option} goes with `check {whose}`, not with `check {name}`")
    if name == "gradient":
        request["after"] = after
    if name == "last-position":
        request["steps"] = steps
    tell = {"accum": accum.tell, "gradient": gradient.tell, "last-position": last_position.tell}[name]
    return {"type": "check", "check": name, "preset": preset.name, **tell(trial(name, request, hear))}
