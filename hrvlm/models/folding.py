"""Batch norms folded into the convolutions before them: residual networks are about a sixth faster so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


@contextmanager
def folding_batch_norms(*modules: nn.Module) -> Iterator[None]:
    """Inside, batch norms in evaluation mode are part of the convolutions that feed them; then all is as it was.

    Features are the same up to rounding. Weights changed inside have no effect on folded parts. Towers without batch
    norms are not touched.

    Args:
        modules: of which every sub-module is looked at; a convolution feeds a batch norm if it is named alike ("conv2"
            and "bn2", as in the residual networks of open_clip, torchvision and timm) or stands right before it in an
            `nn.Sequential`.
    """
    changed: list[tuple[nn.Module, str, nn.Module]] = []
    try:
        for owner in [part for module in modules for part in module.modules()]:
            for first, second in _pairs(owner):
                convolution, norm = owner.get_submodule(first), owner.get_submodule(second)
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and _is_fixed(norm):
                    changed += [(owner, first, convolution), (owner, second, norm)]
                    setattr(owner, first, fuse_conv_bn_eval(convolution, norm).requires_grad_(False))
                    setattr(owner, second, nn.Identity())
        yield
    finally:
        for owner, name, module in reversed(changed):
            setattr(owner, name, module)


def _pairs(owner: nn.Module) -> list[tuple[str, str]]:
    """Names of children, the second of which is fed by the first alone."""
    names = [name for name, _ in owner.named_children()]
    if isinstance(owner, nn.Sequential):
        return list(pairwise(names))
    alike = [(name, f"bn{name.removeprefix('conv')}") for name in names if name.startswith("conv")]
    return [(first, second) for first, second in alike if second in names]


def _is_fixed(norm: nn.BatchNorm2d) -> bool:
    """Whether it is one affine map, whatever the batch."""
    return not norm.training and norm.running_mean is not None
