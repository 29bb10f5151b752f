"""Families that make several pictures, patches or masks of one picture: what arrives, in batches and alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_transformers
import torch
import transformers

from hrvlm.generative import Decoding
from hrvlm.generative.transformers_model import TransformersGenerator, load_transformers

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # PaliGemma's processor
SIZES = ((24, 24), (16, 40))
RESIZES = {"llava_next": 1, "qwen2_5": 1, "idefics3": 3, "mllama": 1, "paligemma": 1}
"""How often a value of a picture is resized on its way, at most; with 8 bits each rounds."""


@pytest.fixture(scope="module", params=list(tiny_transformers.OTHERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_transformers.save(kind, tmp_path_factory.mktemp("models") / kind)


@pytest.fixture(scope="module")
def greedy(folder: Path) -> TransformersGenerator:
    return load_transformers(folder, prompt="what is this", decoding=Decoding(max_new_tokens=4))


def noisy(count: int, height: int, width: int) -> torch.Tensor:
    """Pictures that leave [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, height, width, generator=generator) * 2 - 0.5


def plain(count: int, height: int, width: int) -> torch.Tensor:
    """Pictures of one colour in 8 bits, which no resizing rounds."""
    generator = torch.Generator().manual_seed(1)
    colours = torch.randint(0, 256, (count, 3, 1, 1), generator=generator, dtype=torch.uint8)
    return colours.expand(-1, -1, height, width).contiguous()


def smooth(height: int, width: int) -> torch.Tensor:
    """A picture (3, H, W) in 8 bits without edges, beyond which cubic resizing would leave their range."""
    down, right = torch.linspace(0, 3, height)[:, None], torch.linspace(0, 3, width)
    return (128 + 80 * torch.stack([(down + right).sin(), (down - right).cos(), down.sin() * right.cos()])).byte()


def usual(folder: Path, question: str, picture: torch.Tensor) -> dict[str, Any]:
    """A picture of 8 bits and the question, through the processor that came with the model."""
    processor = transformers.AutoProcessor.from_pretrained(folder)
    given = {"text": [question], "images": [[picture]], "return_tensors": "pt", "add_special_tokens": False}
    return {key: value for key, value in processor(**given).items() if key != "labels"}


@pytest.mark.parametrize("size", SIZES)
def test_the_model_is_given_what_its_processor_gives(
    kind: str, folder: Path, greedy: TransformersGenerator, size: tuple[int, int]
):
    smallest = 255 * min(greedy.processor.image_processor.image_std)
    for picture, tolerance in ((plain(1, *size)[0], 1e-4), (smooth(*size), RESIZES[kind] * 1.01)):
        expected = usual(folder, greedy.question, picture)
        found = greedy.inputs(picture[None] / 255, torch.device("cpu"))
        assert set(found) == set(expected)
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=0, atol=tolerance / smallest)


@pytest.mark.parametrize("size", SIZES)
def test_a_batch_is_answered_as_each_of_it_alone(greedy: TransformersGenerator, size: tuple[int, int]):
    images, answers = noisy(3, *size), ["a red fox", "", "cat on"]
    assert greedy.generate(images) == [greedy.generate(image[None])[0] for image in images]
    leaf = images.clone().requires_grad_()
    together = greedy.log_probability(leaf, answers)
    (gradient,) = torch.autograd.grad(together.sum(), leaf)
    alone = [greedy.log_probability(image[None], [text])[0] for image, text in zip(images, answers, strict=True)]
    torch.testing.assert_close(together.detach(), torch.stack(alone).detach(), rtol=1e-5, atol=1e-5)
    assert (gradient.flatten(1).norm(dim=1) > 1e-3).all()
    with torch.no_grad():
        step = 0.01 * gradient / gradient.norm()
        rise = (
            greedy.log_probability(images + step, answers).sum() - greedy.log_probability(images - step, answers).sum()
        )
    assert float(rise) / 0.02 == pytest.approx(float(gradient.norm()), rel=0.05)


class Saying:
    """A logits processor of the library's that makes a model say given tokens."""

    def __init__(self, tokens: list[int], before: int) -> None:
        self.tokens, self.before = tokens, before

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        token = self.tokens[input_ids.shape[1] - self.before]
        return torch.full_like(scores, -torch.inf).index_fill_(1, torch.tensor([token]), 0.0)


def test_answers_and_their_probabilities_are_those_of_the_library(folder: Path, greedy: TransformersGenerator):
    picture = plain(2, 24, 24)[1]
    inputs = usual(folder, greedy.question, picture)
    length = inputs["input_ids"].shape[1]
    images, answer = picture[None] / 255, "a red fox"
    expected = greedy.model.generate(**inputs, do_sample=False, max_new_tokens=4)[0, length:]
    assert greedy.generate(images) == [greedy.tokenizer.decode(expected, skip_special_tokens=True)]
    tokens = [*greedy.tokenizer(answer, add_special_tokens=False)["input_ids"], 2]
    saying = transformers.LogitsProcessorList([Saying(tokens, length)])
    said = greedy.model.generate(
        **inputs, max_new_tokens=4, logits_processor=saying, output_logits=True, return_dict_in_generate=True
    )
    scores = [float(logits[0].log_softmax(-1)[token]) for logits, token in zip(said.logits, tokens, strict=True)]
    shapes: list[int] = []
    hook = greedy.model.get_output_embeddings().register_forward_hook(lambda _, __, out: shapes.append(out.shape[1]))
    assert greedy.log_probability(images, [answer]).item() == pytest.approx(sum(scores), abs=1e-4)
    hook.remove()
    assert shapes == [len(tokens)]  # scores of the answer's places, not of the picture's


def test_a_model_whose_tokens_see_what_follows_gives_no_log_probability(tmp_path: Path):
    generator = load_transformers(
        tiny_transformers.save("paligemma", tmp_path / "paligemma"), prompt=None, decoding=Decoding(max_new_tokens=2)
    )
    assert not generator.looks_ahead
    generator.inputs.answer_type = 0  # as if the answer were a part of the question
    generator.try_out()
    with pytest.raises(
        ValueError, match=r"tokens see only what came before, got PaliGemmaForCond.* no log-probability"
    ):
        generator.log_probability(noisy(1, 16, 16), ["fox"])
    assert len(generator.generate(noisy(2, 16, 16))) == 2
