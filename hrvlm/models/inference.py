"""Copies for inference: they share the weights, ask for no gradients and leave the module itself alone."""

from __future__ import annotations

from typing import TypeVar, cast

import torch
from open_clip.modified_resnet import Bottleneck, ModifiedResNet
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

M = TypeVar("M", bound=nn.Module)


def inference_copy(module: M) -> M:
    """A copy in evaluation mode whose parameters require no gradient.

    Outputs depend on weights and inputs only, to the last bit: PyTorch chooses kernels by `requires_grad` even where no
    gradient is recorded. Weights and buffers are shared, so the copy takes hardly any memory and follows their changes,
    but for convolutions of open_clip's residual networks: the batch norms behind them are folded into copies, which
    makes these towers about a seventh faster and rounds differently. Compiled modules are copied as they were before.

    Args:
        module: Stays as it is; attributes other than parameters, buffers and sub-modules are shared.
    """
    twin = cast(M, _copied(module, {}, {}))
    for part in list(twin.modules()):
        for convolution, norm in _pairs(part):
            _fold(part, convolution, norm)
    return twin


def _copied(module: nn.Module, modules: dict[int, nn.Module], parameters: dict[int, nn.Parameter]) -> nn.Module:
    """The copy; what occurs twice in the module does so in the copy."""
    if id(module) in modules:
        return modules[id(module)]
    if isinstance(module, torch._dynamo.OptimizedModule):
        return _copied(module._orig_mod, modules, parameters)
    twin = module.__new__(type(module))
    modules[id(module)] = twin
    own = dict(module.__dict__)
    own["training"], own["_compiled_call_impl"], own["_buffers"] = False, None, dict(module._buffers)
    own["_parameters"] = {
        name: None if parameter is None else _shared(parameter, parameters)
        for name, parameter in module._parameters.items()
    }
    own["_modules"] = {
        name: None if part is None else _copied(part, modules, parameters) for name, part in module._modules.items()
    }
    twin.__dict__ = own
    return twin


def _shared(parameter: nn.Parameter, parameters: dict[int, nn.Parameter]) -> nn.Parameter:
    if id(parameter) not in parameters:
        parameters[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False)
    return parameters[id(parameter)]


def _pairs(part: nn.Module) -> list[tuple[str, str]]:
    """Names of convolutions and batch norms of a known block, of which the second is all that sees the first."""
    if type(part) is ModifiedResNet:
        return [(f"conv{i}", f"bn{i}") for i in (1, 2, 3)]
    if type(part) is Bottleneck:
        shortcut = [] if part.downsample is None else [("downsample.0", "downsample.1")]
        return [*((f"conv{i}", f"bn{i}") for i in (1, 2, 3)), *shortcut]
    return []


def _fold(part: nn.Module, convolution: str, norm: str) -> None:
    first, second = part.get_submodule(convolution), part.get_submodule(norm)
    if type(first) is nn.Conv2d and type(second) is nn.BatchNorm2d and second.running_mean is not None:
        part.set_submodule(convolution, fuse_conv_bn_eval(first, second).requires_grad_(False))
        part.set_submodule(norm, nn.Identity().eval())
