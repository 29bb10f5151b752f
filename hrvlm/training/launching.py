"""Work without a training loop on many devices and nodes, through Lightning's launchers and strategies.

`torchrun` and SLURM are recognised as in training; otherwise the strategy starts the processes of its node.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import torch
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from hrvlm.training.stopping import stoppable

if TYPE_CHECKING:
    from lightning.fabric import Fabric
    from lightning.fabric.strategies import Strategy as FabricStrategy

StrategyName: TypeAlias = Literal["auto", "ddp", "ddp_spawn", "ddp_fork"]

LOST = "expected all processes to go on to the end, but one ended before; what was written is kept, run it again"
# What gloo and NCCL say on the processes that are left.
_LOST_WORDS = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")

_START: dict[StrategyName, Literal["popen", "spawn", "fork"]] = {
    "auto": "popen",
    "ddp": "popen",
    "ddp_spawn": "spawn",
    "ddp_fork": "fork",
}
# Processes meet at the beginning and at the end, and shares of the work may differ by hours. What they exchange are few
# bytes of the host, so they do it by gloo on every device: NCCL would have devices spin while their processes wait,
# and notice a process that is gone only after all this time.
_PATIENCE = timedelta(days=7)
# By these Lightning knows that this process is one of a job that something else has started.
_OF_A_JOB = ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "LOCAL_RANK", "SLURM_NTASKS", "LSB_JOBID", "KUBERNETES_PORT")


class Team(Protocol):
    """The processes of a run, as one of them sees them: what is used of Lightning's `Fabric`."""

    @property
    def device(self) -> torch.device:
        """Device of this process."""

    @property
    def world_size(self) -> int:
        """How many processes there are."""

    @property
    def global_rank(self) -> int:
        """Number of this one, from 0."""

    @property
    def is_global_zero(self) -> bool:
        """Whether it is the first."""

    def broadcast(self, obj: Any) -> Any:
        """What the first process gives, on all of them."""

    def barrier(self) -> None:
        """Waits until all processes are here."""


@dataclass(frozen=True)
class Alone:
    """The only process of a run, which needs nobody to launch it: Lightning, which takes long to import, is left out.

    Attributes:
        device: Device of this process.
    """

    device: torch.device
    world_size: int = 1
    global_rank: int = 0
    is_global_zero: bool = True

    def broadcast(self, obj: Any) -> Any:
        """The same."""
        return obj

    def barrier(self) -> None:
        """Waits for nobody."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Where work is done: every device has a process of its own, with a copy of the model.

    Attributes:
        device: Kind of device, such as "cpu" or "cuda"; "cuda:1" is that one alone.
        devices: Devices per node.
        num_nodes: Number of nodes; each must see the folder of the results.
        strategy: How processes start: "ddp" runs the script again, "ddp_spawn" and "ddp_fork" start functions.
    """

    device: str = "cpu"
    devices: int = 1
    num_nodes: int = 1
    strategy: StrategyName = "auto"

    def __post_init__(self) -> None:
        for name in ("devices", "num_nodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} >= 1, got {getattr(self, name)}")

    @property
    def single(self) -> bool:
        """Whether one process does everything."""
        return self.devices * self.num_nodes == 1

    def launch(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls `function(team, *arguments)` on every process.

        Returns:
            What it returned on this process, or on the first one if processes were started as functions.

        Raises:
            ValueError: If this machine has no such devices, or one of the processes ended before its time.
        """
        if self.single and not any(os.environ.get(name) for name in _OF_A_JOB):
            return _share(self._alone(), function, arguments)
        before = dict(os.environ)
        try:
            # Within the function: in what comes beside it Lightning looks for modules, and refuses frozen dataclasses.
            share: Callable[..., Any] = partial(_share, function=function, arguments=arguments)
            return self._fabric().launch(share)
        except ProcessExitedException as error:
            raise ValueError(f"{LOST} ({error})") from error
        except ProcessRaisedException as error:
            raise _original(error) from error
        finally:  # what Lightning tells its processes must not reach those that this one starts later
            for name in set(os.environ) - set(before):
                del os.environ[name]

    def _alone(self) -> Alone:
        try:
            place = torch.zeros((), device=self.device).device
        except (RuntimeError, AssertionError) as error:
            raise ValueError(self._lacking(error)) from error
        if place.type == "cuda":
            torch.cuda.set_device(place)
        return Alone(place)

    def _fabric(self) -> Fabric:
        from lightning.fabric import Fabric  # which one process alone need not wait for
        from lightning.pytorch.utilities.exceptions import MisconfigurationException

        try:
            place = torch.device(self.device)
            devices: int | list[int] = self.devices if place.index is None or place.type == "cpu" else [place.index]
            if isinstance(devices, list) and self.devices != 1:
                raise ValueError(f"devices=1 goes with one device by number, got devices={self.devices}")
            return Fabric(accelerator=place.type, devices=devices, num_nodes=self.num_nodes, strategy=self._strategy())
        except (RuntimeError, ValueError, AssertionError, MisconfigurationException) as error:
            raise ValueError(self._lacking(error)) from error

    def _lacking(self, error: Exception) -> str:
        wanted = f"{self.device!r}, {self.devices} of them"
        return f'expected devices of this machine, such as "cpu", got {wanted}: {error}'

    def _strategy(self) -> FabricStrategy | str:
        """DDP that waits long enough; with one process, whatever Lightning finds (it may be part of a larger job)."""
        if self.single:
            return "auto"
        from lightning.fabric.strategies import DDPStrategy

        return DDPStrategy(process_group_backend="gloo", start_method=_START[self.strategy], timeout=_PATIENCE)


def _share(team: Team, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """What one process does; it can be stopped, and says in one sentence that another one was lost."""
    with stoppable("hrvlm"):
        try:
            return function(team, *arguments)
        except RuntimeError as error:
            if team.world_size > 1 and any(words in str(error) for words in _LOST_WORDS):
                raise ValueError(LOST) from error
            raise


def _original(error: ProcessRaisedException) -> Exception:
    """The ValueError of a process, as far as its text tells; any other error stays as it is, with its traceback."""
    kind, _, text = str(error).strip().splitlines()[-1].partition(": ")
    return ValueError(text) if kind in ("ValueError", "hrvlm.trees.nodes.TreeError") else error
