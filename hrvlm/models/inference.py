"""Copies for inference: they share the weights, ask for no gradients and leave the module itself alone."""

from __future__ import annotations

import sys
from typing import Any, TypeVar, cast

from open_clip.transformer import VisionTransformer
from torch import nn

from hrvlm.models.residual_inference import rewritten
from hrvlm.models.transformer_inference import with_class_token_alone

M = TypeVar("M", bound=nn.Module)


def inference_copy(module: M) -> M:
    """A copy in evaluation mode whose parameters require no gradient.

    Outputs depend on weights and inputs only, to the last bit: PyTorch chooses kernels by `requires_grad` even where no
    gradient is recorded. Weights and buffers are shared, so the copy takes hardly any memory and follows their changes,
    but for convolutions of open_clip's residual networks: these towers are rewritten with copies into which batch norms
    are folded (`hrvlm.models.residual_inference`), and last blocks of its vision transformers compute the class token
    alone (`hrvlm.models.transformer_inference`), which is faster and rounds differently. Compiled modules are copied as
    they were before.

    Args:
        module: Stays as it is; attributes other than parameters, buffers and sub-modules are shared.
    """
    return cast(M, _copied(module, {}, {}))


def _is_compiled(module: nn.Module) -> bool:
    compiler: Any = sys.modules.get("torch._dynamo")  # which takes seconds to import, and was if anything is compiled
    return compiler is not None and isinstance(module, compiler.OptimizedModule)


def _copied(module: nn.Module, modules: dict[int, nn.Module], parameters: dict[int, nn.Parameter]) -> nn.Module:
    """The copy; what occurs twice in the module does so in the copy."""
    if id(module) in modules:
        return modules[id(module)]
    if _is_compiled(module):
        return _copied(cast(nn.Module, module._orig_mod), modules, parameters)
    twin = module.__new__(type(module))
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
    modules[id(module)] = with_class_token_alone(twin) if isinstance(twin, VisionTransformer) else rewritten(twin)
    return modules[id(module)]


def _shared(parameter: nn.Parameter, parameters: dict[int, nn.Parameter]) -> nn.Parameter:
    if id(parameter) not in parameters:
        parameters[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False)
    return parameters[id(parameter)]
