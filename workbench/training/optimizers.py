"""Optimizers by name, the arithmetic torch's own: adamw, sgd, muon (with AdamW for what is no block matrix).

Weight decay is for matrices and embeddings; gains and biases have none. State goes in and out as named tensors,
`<parameter>.<quantity>`, so that a checkpoint needs no pickle and a reader knows what it sees.

AdamW and SGD are called as functions: torch's classes load all of its compiler before the first step, 1.5 s of every
start and 75 MB.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from workbench.preset import OptimizerTable
from workbench.training.models import Model

_EPS = 1e-8


class Optimizer:
    """One or two rules behind the three calls of a step: zero_grad, set, step."""

    def __init__(self, model: Model, table: OptimizerTable) -> None:
        self._names = {parameter: name for name, parameter in model.named_parameters()}
        self.parameters = list(self._names)
        on_card = table.kind == "adamw" and self.parameters[0].is_cuda
        self._rules = list(_rules(model, table, capturable=on_card))
        self._decayed = [group for rule in self._rules for group in rule.groups if group.decayed]
        self._lr: float | Tensor = torch.tensor(table.lr, device=self.parameters[0].device) if on_card else table.lr
        """On a card it lies there, so that a captured step can read another one."""

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def set(self, *, lr: float, weight_decay: float) -> None:
        """The learning rate of this step, for every group, and the decay of those that have one."""
        if isinstance(self._lr, Tensor):
            self._lr.fill_(lr)
        else:
            self._lr = lr
        for group in self._decayed:
            group.weight_decay = weight_decay

    def set_from(self, lr: Tensor, *, weight_decay: float) -> None:
        """`set`, with a rate (a tensor of one number) that is on the device already."""
        if isinstance(self._lr, Tensor):
            self._lr.copy_(lr.squeeze())
        else:
            self._lr = lr.item()
        for group in self._decayed:
            group.weight_decay = weight_decay

    def skip_where(self, failed: Tensor) -> None:
        """From now on `step` changes nothing where `failed` is 1. AdamW only."""
        for rule in self._rules:
            rule.failed = failed

    @torch.no_grad()
    def step(self) -> None:
        for rule in self._rules:
            rule.step(self._lr)

    def state(self) -> dict[str, Tensor]:
        """Every tensor that the next step depends on; empty before the first step, and always for plain SGD."""
        return {
            f"{name}.{quantity}": value
            for rule in self._rules
            for parameter, name in self._names.items()
            for quantity, value in rule.state.get(parameter, {}).items()
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `state` gave. KeyError or RuntimeError where the parameters are not the same ones."""
        by_name = {name: parameter for parameter, name in self._names.items()}
        for rule in self._rules:
            rule.state.clear()
        rule_of = {p: rule for rule in self._rules for group in rule.groups for p in group.parameters}
        for key, tensor in tensors.items():
            name, _, quantity = key.rpartition(".")
            parameter = by_name[name]
            shape = torch.Size() if quantity == "step" else parameter.shape
            if tensor.shape != shape or not tensor.is_floating_point():
                raise RuntimeError(f"{key} is {tuple(tensor.shape)} {tensor.dtype}, expected {tuple(shape)} floats")
            # A fused AdamW counts its steps in fp32 on the parameter's device, whatever else is fp64.
            dtype = torch.float32 if quantity == "step" else parameter.dtype
            state = rule_of[parameter].state.setdefault(parameter, {})
            state[quantity] = tensor.to(parameter.device, dtype, copy=True)
        for rule in self._rules:
            kept = [rule.state[p].keys() for group in rule.groups for p in group.parameters if p in rule.state]
            total = sum(len(group.parameters) for group in rule.groups)
            if kept and (len(kept) < total or any(names != rule.quantities for names in kept)):
                raise RuntimeError("some parameters' moments are missing, or another optimizer's")


@dataclass
class _Group:
    parameters: list[nn.Parameter]
    decayed: bool
    weight_decay: float = 0.0


class _Rule(ABC):
    """One rule for groups of parameters, and what it keeps of each."""

    quantities: frozenset[str]
    """What is kept of every parameter once it has stepped."""

    def __init__(self, groups: list[_Group]) -> None:
        self.groups = groups
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self.failed: Tensor | None = None

    @abstractmethod
    def step(self, lr: float | Tensor) -> None: ...

    def _given(self) -> Iterator[tuple[list[Tensor], list[Tensor], float]]:
        """Of each group the parameters that have a gradient, their gradients, and the weight decay."""
        for group in self.groups:
            given = [(p, p.grad) for p in group.parameters if p.grad is not None]
            if given:
                yield [p for p, _ in given], [grad for _, grad in given], group.weight_decay

    def _kept(self, parameters: list[Tensor], quantity: str) -> list[Tensor]:
        return [self.state[p][quantity] for p in parameters]


class _AdamW(_Rule):
    quantities = frozenset({"step", "exp_avg", "exp_avg_sq"})

    def __init__(self, groups: list[_Group], betas: tuple[float, float], *, capturable: bool) -> None:
        super().__init__(groups)
        self._betas, self._capturable = betas, capturable

    def step(self, lr: float | Tensor) -> None:
        for parameters, grads, weight_decay in self._given():
            for p in parameters:
                if p not in self.state:
                    step = torch.zeros((), dtype=torch.float32, device=p.device)
                    self.state[p] = {"step": step, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
            adam(
                parameters, grads, self._kept(parameters, "exp_avg"), self._kept(parameters, "exp_avg_sq"), [],
                self._kept(parameters, "step"), fused=True, capturable=self._capturable, found_inf=self.failed,
                decoupled_weight_decay=True, amsgrad=False, beta1=self._betas[0], beta2=self._betas[1], lr=lr,
                weight_decay=weight_decay, eps=_EPS, maximize=False,
            )  # fmt: skip


class _Sgd(_Rule):
    quantities = frozenset({"momentum_buffer"})

    def __init__(self, groups: list[_Group], momentum: float) -> None:
        super().__init__(groups)
        self._momentum = momentum

    def step(self, lr: float | Tensor) -> None:
        for parameters, grads, weight_decay in self._given():
            buffers: list[Tensor | None] = []
            if self._momentum:
                buffers.extend(self.state.get(p, {}).get("momentum_buffer") for p in parameters)
            # foreach, not fused: one kernel over all parameters, and exactly w -= lr·g
            sgd(
                parameters, grads, buffers, foreach=True, weight_decay=weight_decay, momentum=self._momentum,
                lr=float(lr), dampening=0.0, nesterov=False, maximize=False,
            )  # fmt: skip
            for p, buffer in zip(parameters, buffers, strict=False):  # none without momentum
                assert buffer is not None
                self.state[p] = {"momentum_buffer": buffer}


class _Muon(_Rule):
    """torch's class, as its function is private. Whoever asks for it waits for the compiler to load."""

    quantities = frozenset({"momentum_buffer"})

    def __init__(self, groups: list[_Group], momentum: float) -> None:
        super().__init__(groups)
        # match_rms_adamw: an update as large as AdamW's, so that one lr serves both (Liu et al., 2502.16982)
        self._torchs: torch.optim.Optimizer = torch.optim.Muon(
            [{"params": group.parameters} for group in groups], momentum=momentum, adjust_lr_fn="match_rms_adamw"
        )
        self.state = self._torchs.state

    def step(self, lr: float | Tensor) -> None:
        for group, torchs in zip(self.groups, self._torchs.param_groups, strict=True):
            torchs.update(lr=float(lr), weight_decay=group.weight_decay)
        self._torchs.step()


def _rules(model: Model, table: OptimizerTable, *, capturable: bool) -> Iterable[_Rule]:
    parameters = list(model.parameters())
    if table.kind == "sgd":
        yield _Sgd(_groups(parameters), table.momentum)
        return
    if table.kind == "muon":
        matrices = model.block_matrices()
        if matrices:
            yield _Muon([_Group(matrices, decayed=True)], table.momentum)
            taken = set(matrices)
            parameters = [p for p in parameters if p not in taken]
    yield _AdamW(_groups(parameters), table.betas, capturable=capturable)


def _groups(parameters: list[nn.Parameter]) -> list[_Group]:
    matrices = [p for p in parameters if p.dim() >= 2]
    vectors = [p for p in parameters if p.dim() < 2]
    return [_Group(matrices, decayed=True), *([_Group(vectors, decayed=False)] if vectors else [])]
