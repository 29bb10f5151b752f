"""How one step of a gradient ascent follows from the gradients so far: plainly, with momentum, or as APGD steps.

Every rule costs one gradient a step, and each further start one more, so that rules compare at equal cost; all end on
the last iterate.

Sources: PGD, Madry et al., ICLR 2018 (arXiv 1706.06083); MI-FGSM, Dong et al., CVPR 2018 (arXiv 1710.06081); APGD,
Croce and Hein, ICML 2020 (arXiv 2003.01690), algorithm 1.

Shapes: R rows that are moved each for itself (images; the text perturbation is one row), positions `(R, ...)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

import torch
from torch import Tensor

Rule = Literal["sign", "momentum", "apgd"]
USUAL = {"momentum": 1.0, "apgd": 0.25}  # the papers'
MOST_STARTS = 100
INCREASES = 0.75  # share of the steps between two checkpoints that must raise the loss, APGD's ρ


class Budget(NamedTuple):
    """Where something may be moved to.

    Attributes:
        step: The steepest way up: maps position, gradient and length (a number, or one per row) to the next position.
        project: Maps a position to the nearest one that is allowed.
    """

    step: Callable[[Tensor, Tensor, float | Tensor], Tensor]
    project: Callable[[Tensor], Tensor]


class Mover(Protocol):
    """One ascent under a rule, with what it remembers of former steps."""

    def move(self, position: Tensor, gradient: Tensor, values: Tensor) -> Tensor:
        """The next position.

        Args:
            position: `(R, ...)`, where gradient and values were taken.
            gradient: Of the summed loss, shape of `position`.
            values: The loss of each row `(R,)`, or one number for all.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class StepRule:
    """Which rule, and how much of former steps goes into the next.

    Attributes:
        name: "sign": the steepest ascent of the gradient alone (its sign for linf, its direction for l2). "momentum":
            of decayed sums of all gradients so far, each divided by its l1 norm. "apgd": momentum of positions, and
            step sizes that are halved, back at the best point so far, where the loss no longer grows.
        momentum: For "momentum" the decay in [0, 1] of former gradients, 1 if not given; for "apgd" the share in [0, 1)
            of the last move in the next, 0.25 if not given.

        starts: Random points >= 1 whose gradients the first step averages; it goes from their mean.

    Raises:
        ValueError: If the name is unknown, or a number out of range.
    """

    name: Rule = "sign"
    momentum: float | None = None
    starts: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.starts <= MOST_STARTS:
            raise ValueError(
                f"expected starts of the ascent in [1, {MOST_STARTS}], got {self.starts}: each costs a gradient"
            )
        if self.name not in get_args(Rule):
            raise ValueError(f"expected the rule of the ascent among {', '.join(get_args(Rule))}, got {self.name!r}")
        if self.momentum is None:
            return
        if self.name == "sign":
            raise ValueError(f"expected no momentum with the rule sign, got {self.momentum}: take momentum or apgd")
        if not 0.0 <= self.momentum <= 1.0 or (self.name == "apgd" and self.momentum == 1.0):
            least = "[0, 1)" if self.name == "apgd" else "[0, 1]"
            raise ValueError(f"expected the momentum of {self.name} in {least}, got {self.momentum}: leave it out")

    def mover(self, budget: Budget, step_size: float, steps: int) -> Mover:
        """A fresh ascent of `steps` steps, the first of them of length `step_size`."""
        if self.name == "sign":
            return _Steepest(budget, step_size)
        momentum = USUAL[self.name] if self.momentum is None else self.momentum
        if self.name == "momentum":
            return _Momentum(budget, step_size, momentum)
        return _APGD(budget, step_size, momentum, checkpoints(steps))


def checkpoints(steps: int) -> list[int]:
    """Steps after which APGD looks back: ⌈p·steps⌉, p = 0.22, 0.41, 0.57, …, gaps shrinking by .03 down to .06."""
    found, last, share = set(), 0, 22  # in hundredths, which floating-point numbers would round past whole steps
    while -(-share * steps // 100) < steps:
        found.add(-(-share * steps // 100))
        last, share = share, share + max(share - last - 3, 6)
    return sorted(found)


def averaged_gradient(former: Tensor, gradient: Tensor, momentum: float) -> Tensor:
    """MI-FGSM's μ·former + gradient / ‖gradient‖₁, row by row; a gradient of zero adds nothing."""
    length = gradient.abs().flatten(1).sum(dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
    return momentum * former + gradient / _per_row(length, gradient)


@dataclass
class _Steepest:
    budget: Budget
    step_size: float

    def move(self, position: Tensor, gradient: Tensor, values: Tensor) -> Tensor:
        return self.budget.project(self.budget.step(position, gradient, self.step_size))


@dataclass
class _Momentum:
    budget: Budget
    step_size: float
    momentum: float
    former: Tensor | None = None

    def move(self, position: Tensor, gradient: Tensor, values: Tensor) -> Tensor:
        former = torch.zeros_like(gradient) if self.former is None else self.former
        self.former = averaged_gradient(former, gradient, self.momentum)
        return self.budget.project(self.budget.step(position, self.former, self.step_size))


class _APGD:
    """The best of what was evaluated is where a row goes back to; the last iterate is not evaluated any more.

    The paper looks at a checkpoint one evaluation later, with the same increases counted.
    """

    values: Tensor
    former: Tensor

    def __init__(self, budget: Budget, step_size: float, momentum: float, looks: list[int]) -> None:
        self.budget, self.momentum, self.looks, self.step = budget, momentum, looks, 0
        self.first_size = step_size
        self.last_look = 0

    def move(self, position: Tensor, gradient: Tensor, values: Tensor) -> Tensor:
        values = values.detach().reshape(-1)
        if self.step == 0:
            self._start(position, gradient, values)
        else:
            self.increases += values > self.values
            self._remember(values > self.best_values, position, gradient, values)
        self.values = values
        if self.step in self.looks:
            position, gradient = self._look_back(position, gradient)
        forward = self.budget.project(self.budget.step(position, gradient, _per_row(self.sizes, position)))
        moved = forward if self.step == 0 else self._with_momentum(position, forward)
        self.former, self.step = position, self.step + 1
        return moved

    def _start(self, position: Tensor, gradient: Tensor, values: Tensor) -> None:
        self.sizes = torch.full_like(values, self.first_size, dtype=position.dtype)
        self.increases = torch.zeros_like(values)
        self.best, self.best_gradient, self.best_values = position, gradient, values
        self.best_at_look = values
        self.halved_at_look = torch.zeros_like(values, dtype=torch.bool)

    def _remember(self, better: Tensor, position: Tensor, gradient: Tensor, values: Tensor) -> None:
        chosen = _per_row(better, position)
        self.best = torch.where(chosen, position, self.best)
        self.best_gradient = torch.where(chosen, gradient, self.best_gradient)
        self.best_values = torch.where(better, values, self.best_values)

    def _look_back(self, position: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Halves the steps of rows whose loss grew too rarely or, at an unchanged size, no further; see the paper."""
        rare = self.increases < INCREASES * (self.step - self.last_look)
        stuck = ~self.halved_at_look & (self.best_values <= self.best_at_look)
        halved = rare | stuck
        self.sizes = torch.where(halved, self.sizes / 2, self.sizes)
        self.halved_at_look, self.best_at_look = halved, self.best_values
        self.increases, self.last_look = torch.zeros_like(self.increases), self.step
        chosen = _per_row(halved, position)
        return torch.where(chosen, self.best, position), torch.where(chosen, self.best_gradient, gradient)

    def _with_momentum(self, position: Tensor, forward: Tensor) -> Tensor:
        share = self.momentum
        return self.budget.project(position + (1 - share) * (forward - position) + share * (position - self.former))


def _per_row(values: Tensor, like: Tensor) -> Tensor:
    """`(R,)` or `(1,)` with as many dimensions as `like`."""
    return values.view(-1, *(1,) * (like.ndim - 1))
