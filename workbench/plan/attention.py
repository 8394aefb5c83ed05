"""Which way attention is computed: a rule, so that the same preset on the same machine takes the same one.

sdpa    torch's own: T×T scores are never kept. On a CPU its backward pass in bf16 is several times slower than in fp32.
plain   scores, softmax, weighted sum, as matrix products of each head: short rows are faster so, and their T×T
        probabilities take less memory than bf16 saves elsewhere.

Forward and backward of one layer on one AMX core, in ms (2026-11-21): 69 and 12 for 64 rows of T = 64, 93 and 50 for
16 of 256, 67 and 41 for 4 of 512, 170 and 242 for 2 of 1,024. In fp32 sdpa is as fast or faster from T = 256 on.
"""

from workbench.preset import Preset

LONGEST = 512
"""Tokens of a row up to which plain attention is the faster one."""
_SAVED = 8
"""Times a head's size: a longer row's probabilities, in bf16, take more than bf16 saves in the rest of a layer."""


def rule(preset: Preset, *, precision: str, device: str) -> str:
    """`plain` or `sdpa`, for a resolved precision and the kind of device. A run's T may grow to its context."""
    model = preset.model
    if model.kind != "gpt" or device != "cpu" or precision != "bf16":
        return "sdpa"
    longest = model.context or preset.batch.T
    return "plain" if longest <= min(LONGEST, _SAVED * (model.width // model.heads)) else "sdpa"
