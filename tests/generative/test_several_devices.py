"""A model spread over several devices, none of which is there: tensors of CUDA are fake, and know where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tiny_transformers
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from hrvlm.generative import load_generator
from hrvlm.generative.transformers_model import TransformersGenerator

accelerate = pytest.importorskip("accelerate", reason="needs accelerate: make test-loggers")
PLACES = {"model.vision_tower": 0, "model.multi_modal_projector": 1, "model.language_model": 1, "lm_head": 0}
SIZE = (16, 16)
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # accelerate compares them


@pytest.fixture
def generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TransformersGenerator:
    folder = tiny_transformers.save("llava", tmp_path / "llava")
    found = load_generator(str(folder), prompt="what is this")
    assert isinstance(found, TransformersGenerator)
    found.inputs.prompt(torch.Size(SIZE))  # its processor takes real pictures, once
    monkeypatch.setattr(torch, "_check_tensor_all_with", lambda *given: None)  # which asks for numbers
    return found


@contextmanager
def spread(model: Any) -> Iterator[None]:
    """Its weights on the devices of their modules, inside; as loading leaves them there."""

    def placed(name: str, value: torch.Tensor) -> torch.Tensor:
        (number,) = (number for place, number in PLACES.items() if name.startswith(place))
        return torch.empty(value.shape, dtype=value.dtype, device=f"cuda:{number}")

    with FakeTensorMode(allow_non_fake_inputs=True):
        for above, module in model.named_modules():
            for name, weight in module.named_parameters(recurse=False):
                module._parameters[name] = torch.nn.Parameter(placed(f"{above}.{name}", weight), requires_grad=False)
            for name, buffer in module.named_buffers(recurse=False):
                module._buffers[name] = placed(f"{above}.{name}", buffer)
        yield


def scores(generator: TransformersGenerator, images: torch.Tensor) -> torch.Tensor:
    return generator.log_probability(images, ["a fox", "", "cat"])


def test_answers_are_scored_on_several_devices(generator: TransformersGenerator) -> None:
    with spread(generator.model):
        accelerate.dispatch_model(generator.model, device_map=PLACES, force_hooks=True)
        images = torch.empty(3, 3, *SIZE, device="cuda:1")
        found = scores(generator, images)
    assert found.shape == (3,)
    assert found.device == images.device != generator.model.device


def test_weights_on_two_devices_that_nothing_carries_between_are_noticed(generator: TransformersGenerator) -> None:
    with spread(generator.model), pytest.raises(RuntimeError, match=r"cuda:0.*cuda:1|cuda:1.*cuda:0"):
        scores(generator, torch.empty(3, 3, *SIZE, device="cuda:0"))
