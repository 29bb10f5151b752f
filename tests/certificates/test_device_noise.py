"""Noise in Triton: its interpreter and its compiler need no device, and a device proves the bits where there is one."""

from __future__ import annotations

import importlib
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hrvlm.certificates import Sample
from hrvlm.certificates.noise import device
from hrvlm.certificates.sampling.batches import Drawing, noisy_batch

triton = pytest.importorskip("triton")
needs_device = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def image_of(size: int) -> Tensor:
    return (torch.rand(size, generator=torch.Generator().manual_seed(size)) * 255).round() / 255


@pytest.mark.slow
def test_the_interpreter_makes_the_processor_s_bits(tmp_path):
    script = Path(__file__).with_name("interpreted_noise.py")
    asked = os.environ | {"TRITON_INTERPRET": "1", "TRITON_CACHE_DIR": str(tmp_path)}
    told = subprocess.run([sys.executable, str(script)], env=asked, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == ["float32 True", "grid True"] * 2 + ["met True", "nothing True"]


def compiled(fusion: bool) -> str:
    """The Gaussian kernel for an H100, as its assembler is given it, by the compiler that is installed."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = importlib.import_module("hrvlm.certificates.noise.device_kernels").gaussian_kernel
    types = {"out": "*fp32", "mean": "*fp32", "address": "*i64", "sigma": "fp32"}
    source = ASTSource(kernel, {name: types.get(name, "i32") for name in kernel.arg_names}, {})
    options = {} if fusion else importlib.import_module("hrvlm.certificates.noise.device_kernels").UNFUSED
    return str(triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"])


def test_an_accelerator_is_told_to_round_as_the_processor_does(tmp_path, monkeypatch):
    """No fused operation and no approximate one; fused ones there would be, were they not forbidden."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    code = compiled(fusion=False)
    real = set(re.findall(r"\b(\w+[.\w]*\.f32)\b", code))
    assert {"add.rn.f32", "mul.rn.f32", "div.rn.f32", "sqrt.rn.f32"} <= real
    assert not [name for name in real if re.search(r"fma|approx|ftz|full", name)]
    assert "fma.rn.f32" in compiled(fusion=True)


def test_the_processor_makes_the_noise_of_other_devices():
    assert not device.makes_noise(torch.device("cpu"))
    assert not device.makes_noise(torch.device("mps"))


@needs_device
@pytest.mark.parametrize("noise", ["float32", "grid"])
def test_a_device_makes_the_same_bits(noise, caplog):
    place, drawing = torch.device("cuda"), Drawing(0.25, 2**63 + 5, noise)
    with caplog.at_level(logging.WARNING):
        assert device.makes_noise(place), caplog.text
    samples = [Sample(index, image_of(3 * 50 * 61).view(3, 50, 61), {}) for index in (0, 2**32 - 1)]
    parts = [(samples[0], range(40)), (samples[1], range(2**60, 2**60 + 7)), (samples[0], range(90, 91))]
    made = noisy_batch(parts, drawing, place)
    assert made.is_cuda
    assert torch.equal(made.cpu(), noisy_batch(parts, drawing, torch.device("cpu")))


@needs_device
@pytest.mark.parametrize("noise", ["float32", "grid"])
def test_a_device_that_cannot_is_sent_the_processor_s(noise, monkeypatch):
    place, drawing = torch.device("cuda"), Drawing(0.25, 5, noise)
    sample = Sample(3, image_of(300).view(3, 10, 10), {})
    expected = noisy_batch([(sample, range(4))], drawing, place)
    for module in ("gaussian", "grid"):
        monkeypatch.setattr(f"hrvlm.certificates.noise.{module}.makes_noise", lambda device: False)
    made = torch.empty(4, 3, 10, 10, device=place)
    drawing.write(made, sample, range(4))
    assert torch.equal(made, expected)
