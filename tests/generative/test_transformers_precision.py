"""Transformers models in other types of numbers and on several devices."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import tiny_transformers
import torch

from hrvlm.evaluation.answer_options import AnswerOptions, QuestionOptions
from hrvlm.generative import Decoding, load_generator
from hrvlm.generative.oracles import CommandOracle
from hrvlm.generative.transformers_files import Dtype, read_pretrained
from hrvlm.generative.transformers_model import TransformersGenerator, load_transformers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_transformers.save("llava", tmp_path_factory.mktemp("models") / "llava")


def load(folder: Path, dtype: Dtype) -> TransformersGenerator:
    return load_transformers(folder, prompt="what is this", decoding=Decoding(max_new_tokens=4), dtype=dtype)


def noisy() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 4 - 1.5


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_noise_is_of_32_bits_until_it_is_normalised(folder: Path, dtype: Dtype):
    generator, images = load(folder, dtype), noisy().requires_grad_()
    arrivals: list[torch.Tensor] = []
    tower = next(part for part in generator.model.modules() if isinstance(part, torch.nn.Conv2d))
    tower.register_forward_pre_hook(lambda _, inputs: arrivals.append(inputs[0].detach()))
    (gradient,) = torch.autograd.grad(generator.log_probability(images, ["a fox", "", "cat"]).sum(), images)
    settings = generator.processor.image_processor
    mean, std = (torch.tensor(values)[:, None, None] for values in (settings.image_mean, settings.image_std))
    kind = getattr(torch, dtype)
    assert arrivals[0].dtype == kind == generator.model.dtype
    rounding = torch.finfo(kind).eps  # half a step, and what float32 was off before
    torch.testing.assert_close(arrivals[0].float(), (images.detach() - mean) / std, rtol=rounding, atol=1e-5)
    assert gradient.dtype == torch.float32
    assert (gradient.flatten(1).norm(dim=1) > 0).all()
    assert generator.describe()["dtype"] == dtype
    assert generator.describe()["weights"] != load(folder, "float32").describe()["weights"]


def test_the_type_of_the_files_may_be_taken(folder: Path, tmp_path: Path):
    model, processor = read_pretrained(folder, dtype="bfloat16")
    for part in (model, processor):
        part.save_pretrained(tmp_path / "half")
    assert load(tmp_path / "half", "auto").describe()["dtype"] == "bfloat16"
    assert load(tmp_path / "half", "float32").describe()["dtype"] == "float32"


def test_options_of_a_run_reach_the_model(folder: Path):
    questions = [QuestionOptions(oracle=CommandOracle())]
    options = AnswerOptions(questions=questions, prompt="what is this", dtype="bfloat16")
    assert options.load(str(folder), "cpu").describe()["dtype"] == "bfloat16"
    with pytest.raises(ValueError, match=r"models of transformers alone, got dtype='bfloat16' for 'emoji-captioner'"):
        AnswerOptions(questions=questions, dtype="bfloat16").load("emoji-captioner", "cpu")
    with pytest.raises(ValueError, match=r"got device_map='auto' for 'coca_ViT-B-32/none', which is none; leave"):
        load_generator("coca_ViT-B-32/none", device_map="auto")


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is not None, reason="accelerate is installed")
def test_a_device_map_without_its_package_is_one_sentence(folder: Path):
    with pytest.raises(ValueError, match=r"package accelerate .* device_map='auto', found none; run `pip install acc"):
        load_generator(str(folder), device_map="auto")


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="needs accelerate: make test-loggers")
def test_a_device_map_places_the_model_and_changes_no_answer(folder: Path, tmp_path: Path):
    given = {"prompt": "what is this", "decoding": Decoding(max_new_tokens=4)}
    plain = load_generator(str(folder), **given)
    placed = load_generator(str(folder), device_map={"": "cpu"}, device="meta", **given)
    assert placed.describe() == plain.describe()
    assert placed.generate(noisy()) == plain.generate(noisy())
    lent = {"model.vision_tower": "cpu", "model.multi_modal_projector": "cpu", "lm_head": "cpu"}
    with pytest.raises(ValueError, match=r"keeps all weights of .* on its devices, got one that leaves \d+"):
        load_generator(str(folder), device_map=lent | {"model.language_model": "disk"}, **given)
