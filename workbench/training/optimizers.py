"""Optimizers by name, all torch's own: adamw, sgd, muon (with AdamW for what is no block matrix).

Weight decay is for matrices and embeddings; gains and biases have none. State goes in and out as named tensors,
`<parameter>.<quantity>`, so that a checkpoint needs no pickle and a reader knows what it sees.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from workbench.preset import OptimizerTable
from workbench.training.models import Model

_QUANTITIES: dict[type[torch.optim.Optimizer], set[str]] = {
    torch.optim.SGD: {"momentum_buffer"},
    torch.optim.Muon: {"momentum_buffer"},
    torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"},
}
"""What each keeps of every parameter once it has stepped."""


class Optimizer:
    """One or two torch optimizers behind the three calls of a step: zero_grad, set, step."""

    def __init__(self, model: Model, table: OptimizerTable) -> None:
        self._names = {parameter: name for name, parameter in model.named_parameters()}
        self.parameters = list(self._names)
        self._parts = list(_parts(model, table))
        self._decayed = [group for part in self._parts for group in part.param_groups if group["decayed"]]
        self._groups = [group for part in self._parts for group in part.param_groups]
        lr = self._groups[0]["lr"]
        self._lr: Tensor | None = lr if isinstance(lr, Tensor) else None
        """Where the rate lies on the device, so that a captured step can read another one."""

    def zero_grad(self) -> None:
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def set(self, *, lr: float, weight_decay: float) -> None:
        """The learning rate of this step, for every group, and the decay of those that have one."""
        if self._lr is not None:
            self._lr.fill_(lr)
        else:
            for group in self._groups:
                group["lr"] = lr
        for group in self._decayed:
            group["weight_decay"] = weight_decay

    def set_from(self, lr: Tensor, *, weight_decay: float) -> None:
        """`set`, with a rate (a tensor of one number) that is on the device already."""
        if self._lr is None:
            self.set(lr=lr.item(), weight_decay=weight_decay)
            return
        self._lr.copy_(lr.squeeze())
        for group in self._decayed:
            group["weight_decay"] = weight_decay

    def skip_where(self, failed: Tensor) -> None:
        """From now on `step` changes nothing where `failed` is 1. AdamW only."""
        for part in self._parts:
            part.found_inf = failed  # type: ignore[attr-defined]  # what torch's own gradient scaler sets

    def step(self) -> None:
        for part in self._parts:
            part.step()

    def state(self) -> dict[str, Tensor]:
        """Every tensor that the next step depends on; empty before the first step, and always for plain SGD."""
        return {
            f"{name}.{quantity}": torch.as_tensor(value)
            for part in self._parts
            for parameter, name in self._names.items()
            if (state := part.state.get(parameter))
            for quantity, value in state.items()
            if value is not None
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `state` gave. KeyError or RuntimeError where the parameters are not the same ones."""
        by_name = {name: parameter for parameter, name in self._names.items()}
        for part in self._parts:
            part.state.clear()
        part_of = {p: part for part in self._parts for group in part.param_groups for p in group["params"]}
        for key, tensor in tensors.items():
            name, _, quantity = key.rpartition(".")
            parameter = by_name[name]
            shape = torch.Size() if quantity == "step" else parameter.shape
            if tensor.shape != shape or not tensor.is_floating_point():
                raise RuntimeError(f"{key} is {tuple(tensor.shape)} {tensor.dtype}, expected {tuple(shape)} floats")
            state = part_of[parameter].state[parameter]
            # A fused AdamW counts its steps in fp32 on the parameter's device, whatever else is fp64.
            dtype = torch.float32 if quantity == "step" else parameter.dtype
            state[quantity] = tensor.to(parameter.device, dtype, copy=True)
        for part in self._parts:
            kept = [set(part.state[p]) for group in part.param_groups for p in group["params"] if p in part.state]
            total = sum(len(group["params"]) for group in part.param_groups)
            if kept and (len(kept) < total or any(names != _QUANTITIES[type(part)] for names in kept)):
                raise RuntimeError("some parameters' moments are missing, or another optimizer's")


def _parts(model: Model, table: OptimizerTable) -> Iterable[torch.optim.Optimizer]:
    parameters = list(model.parameters())
    if table.kind == "sgd":
        # foreach, not fused: one kernel over all parameters, and exactly w -= lr·g
        yield torch.optim.SGD(_groups(parameters), lr=table.lr, momentum=table.momentum, foreach=True)
        return
    if table.kind == "muon":
        matrices = model.block_matrices()
        if matrices:
            groups = [{"params": matrices, "decayed": True}]
            # match_rms_adamw: an update as large as AdamW's, so that one lr serves both (Liu et al., 2502.16982)
            yield torch.optim.Muon(
                groups, lr=table.lr, momentum=table.momentum, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
            )
            taken = set(matrices)
            parameters = [p for p in parameters if p not in taken]
    on_card = table.kind == "adamw" and parameters[0].is_cuda
    lr = torch.tensor(table.lr, device=parameters[0].device) if on_card else table.lr
    yield torch.optim.AdamW(_groups(parameters), lr=lr, betas=table.betas, fused=True, capturable=on_card)


def _groups(parameters: list[nn.Parameter]) -> list[dict[str, object]]:
    matrices = [p for p in parameters if p.dim() >= 2]
    vectors = [p for p in parameters if p.dim() < 2]
    groups: list[dict[str, object]] = [{"params": matrices, "decayed": True}]
    if vectors:
        groups.append({"params": vectors, "weight_decay": 0.0, "decayed": False})
    return groups
