"""The forward pass of a run's steps: as models.py has it, and from a fixed step on as torch.compile fuses it.

Compiling takes half a minute, so the first steps are made without it and curves begin at once. Which step is the first
with it is decided before step 0 and recorded: the two passes round differently, and a resume must change over where the
run did.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from workbench.errors import WorkbenchError, out_of_memory
from workbench.training.models import Model

FIRST = 10
"""The step from which on the compiled pass is used, where one is."""
_SHAPES = 1000
"""Shapes that are compiled, each for itself. After 8, torch would quietly go back to the pass as it is written."""
_SAID = 200
"""Characters of the compiler's own words that are told."""


Pass = Callable[[Tensor], Tensor]
"""x, (B, T), to logits."""


def compiled(model: Model) -> Pass:
    """`model`, fused anew for each shape of x: one that served many would depend on which of them came first."""
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = _SHAPES
    return torch.compile(model, dynamic=False)


class Forward:
    """Call `begin` before each step, then this with its micro-batches. `first` is None where nothing is compiled.

    `required`: WorkbenchError where it cannot be compiled; otherwise `trouble` says why, and the steps go on without.
    """

    def __init__(self, model: Model, first: int | None, *, required: bool = True) -> None:
        self.first, self.trouble = first, ""
        self.is_compiled = False
        """In this step."""
        self._as_written: Pass = model
        self._compiled: Pass = model if first is None else compiled(model)
        self._required = required
        self._shapes: set[torch.Size] = set()

    def begin(self, step: int, until: int) -> int:
        """Choose the pass of `step`. Returns the step up to which it serves, `until` at most."""
        if self.first is None:
            self.is_compiled = False
            return until
        self.is_compiled = step >= self.first
        return until if self.is_compiled else min(until, self.first)

    def knows(self, B: int, T: int) -> bool:
        """Whether nothing has to be compiled for an x, (B, T), of this step."""
        return not self.is_compiled or (B, T) in self._shapes

    def __call__(self, x: Tensor) -> Tensor:
        if not self.is_compiled:
            return self._as_written(x)
        if x.shape in self._shapes:
            return self._compiled(x)
        try:
            logits = self._compiled(x)
        except Exception as error:
            if out_of_memory(error):
                raise
            said = str(error).strip().partition("\n")[0][:_SAID]
            self.trouble = f"torch.compile cannot compile this model here ({type(error).__name__}: {said})"
            if self._required:
                raise WorkbenchError(
                    f"device.compile = 'on': {self.trouble}. It needs a C++ compiler, as g++, and Python's headers; "
                    "install them, or train with --set device.compile=off"
                ) from error
            self.first, self.is_compiled = None, False
            return self._as_written(x)
        self._shapes.add(x.shape)
        return logits
