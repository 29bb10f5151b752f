"""One place that decides in which precision geometry is computed.

Points of float16, bfloat16 or float32 are up-cast to float64 for the computation and come back as float32; float64
stays float64. Near the boundary of the ball and for nearly equal points the formulae cancel, and float64 inside costs
little because geometry sees features, never pixels. It also keeps these products out of TF32 and autocast. Devices
without float64 (Apple's MPS) compute in float32.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Scalar = float | Tensor
"""A positive number given as a float or as a tensor with no dimensions, which may need a gradient."""


def result_dtype(*tensors: Tensor) -> torch.dtype:
    """Dtype in which results are returned: float64 if any input is float64, else float32.

    Raises:
        ValueError: If a tensor is not of a floating-point type.
    """
    for tensor in tensors:
        if not tensor.is_floating_point():
            raise ValueError(f"expected points of a floating-point type, got {tensor.dtype}: convert with .float()")
    return torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32


def working_dtype(device: torch.device) -> torch.dtype:
    """Dtype in which geometry is computed on `device`: float64 wherever the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def raise_precision(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Cast tensors to the working dtype of their device."""
    return tuple(tensor.to(working_dtype(tensor.device)) for tensor in tensors)


def positive_scalar(value: Scalar, name: str, like: Tensor) -> Tensor:
    """Return `value` as a tensor with no dimensions in the working dtype of `like`.

    Args:
        value: A positive number. A tensor on an accelerator is not checked, which would wait for the device,
            nor one in compiled code.
        name: Name of the argument, for the message.
        like: Tensor that sets the device.

    Raises:
        ValueError: If the number is not positive and finite, or the tensor holds more than one number.
    """
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(f"expected one number for {name}, got a tensor of shape {tuple(value.shape)}")
        if value.device.type == "cpu" and not torch.compiler.is_compiling():
            _check_positive(float(value.detach()), name)
        return value.reshape(()).to(device=like.device, dtype=working_dtype(like.device))
    _check_positive(value, name)
    return torch.full((), value, device=like.device, dtype=working_dtype(like.device))  # nothing is sent


def _check_positive(value: float, name: str) -> None:
    if not 0.0 < value < float("inf"):
        raise ValueError(f"expected {name} > 0 and finite, got {value}: give a positive number")


def safe_norm(x: Tensor, given: torch.dtype = torch.float64) -> Tensor:
    """Euclidean norm over the last dimension, shape `(..., 1)`, that neither overflows nor underflows.

    The gradient at the zero vector is zero, one of the subgradients. A vector with a NaN has norm NaN.

    Args:
        x: Vectors `(..., D)`.
        given: Dtype that the numbers were given in: squares of float32 numbers need no scaling in float64.
    """
    scale = None
    if x.dtype != torch.float64 or given == torch.float64:
        scale = x.detach().abs().amax(dim=-1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
        x = x / scale
    squares = x.square().sum(dim=-1, keepdim=True)
    # A vector that is not zero has squares >= 1 after scaling, so the guard acts on zero (and subnormal) vectors only.
    zero = squares == 0.0 if scale is None else squares < 0.5  # false for NaN, which must not pass for zero
    norm = torch.where(zero, 1.0, squares).sqrt()
    return torch.where(zero, 0.0, norm if scale is None else scale * norm)


def boundary_margin(dtype: torch.dtype) -> float:
    """Smallest distance kept from the boundary of the ball, as a share of its radius: √eps of `dtype`."""
    return math.sqrt(torch.finfo(dtype).eps)


def conformal(u: Tensor, c: Tensor, dtype: torch.dtype) -> Tensor:
    """1 − c‖u‖², shape `(..., 1)`, kept away from zero for points beyond the margin of `dtype`."""
    limit = 1.0 - boundary_margin(dtype)
    return (1.0 - c * u.square().sum(dim=-1, keepdim=True)).clamp_min(1.0 - limit * limit)
