"""Real transformers classes with tiny configurations, against transformers' own way of using them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tiny_transformers
import torch
import transformers
from scipy.stats import chisquare
from torch import nn

from hrvlm.generative import Decoding, load_generator
from hrvlm.generative.transformers_model import TransformersGenerator, load_transformers

GREEDY = Decoding(max_new_tokens=6)
RANDOM = Decoding(max_new_tokens=6, temperature=1.0)


@pytest.fixture(scope="module", params=list(tiny_transformers.FAMILIES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_transformers.save(request.param, tmp_path_factory.mktemp("models") / request.param)


def load(folder: Path, decoding: Decoding = GREEDY) -> TransformersGenerator:
    return load_transformers(folder, prompt="what is this", decoding=decoding)


def random(count: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


def levels(count: int, size: int = 16) -> torch.Tensor:
    """Pictures of 8 bits, as processors usually get them; of a size that is not resized, which would round them."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)


def usual_inputs(folder: Path, generator: TransformersGenerator, picture: torch.Tensor) -> Any:
    """One picture of 8 bits and the question, through the model's own processor as its documentation does."""
    processor = transformers.AutoProcessor.from_pretrained(folder)
    return processor(text=[generator.question], images=[[picture]], return_tensors="pt", add_special_tokens=False)


@pytest.fixture(scope="module")
def greedy(folder: Path) -> TransformersGenerator:
    return load(folder)


def test_noisy_pixels_arrive_normalised_and_nothing_else(greedy: TransformersGenerator):
    images = random(3, 3, 16, 16) + 0.5 * torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    assert images.min() < -0.5
    assert images.max() > 1.5
    arrivals: list[torch.Tensor] = []
    tower = next(part for part in greedy.model.modules() if isinstance(part, (nn.Conv2d, nn.Conv3d)))
    hook = tower.register_forward_pre_hook(lambda _, inputs: arrivals.append(inputs[0]))
    greedy.generate(images)
    hook.remove()
    settings = greedy.processor.image_processor
    mean, std = (torch.tensor(v)[:, None, None] for v in (settings.image_mean, settings.image_std))
    expected = ((images - mean) / std).flatten().sort().values
    arrived = arrivals[0].flatten().sort().values  # models lay patches out in their own order
    times = len(arrived) // len(expected)
    torch.testing.assert_close(arrived, expected.repeat_interleave(times), rtol=1e-5, atol=1e-5)


def test_greedy_answers_are_those_of_the_library(folder: Path, greedy: TransformersGenerator):
    pictures = levels(4)
    expected = []
    for picture in pictures:
        inputs = usual_inputs(folder, greedy, picture)
        tokens = greedy.model.generate(**inputs, do_sample=False, max_new_tokens=6)[0, inputs["input_ids"].shape[1] :]
        expected.append(greedy.tokenizer.decode(tokens, skip_special_tokens=True))
    assert greedy.generate(pictures / 255) == expected
    assert len(set(expected)) > 1


def test_answers_change_with_noise(greedy: TransformersGenerator):
    images = random(6, 3, 20, 20)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(3))
    assert greedy.generate(images) != greedy.generate(images + 0.5 * noise)


@pytest.mark.parametrize("decoding", [GREEDY, RANDOM])
def test_answers_do_not_depend_on_the_batch(folder: Path, decoding: Decoding):
    generator = load(folder, decoding)
    images, uniforms = random(5, 3, 20, 24), random(5, generator.num_uniforms, seed=4)
    together = generator.generate(images, uniforms)
    alone = [generator.generate(images[i : i + 1], uniforms[i : i + 1])[0] for i in range(5)]
    backwards = generator.generate(images.flip(0), uniforms.flip(0))
    assert together == alone == backwards[::-1]
    assert len({len(answer.split()) for answer in together}) > 1  # some end before others


def test_random_answers_come_from_their_numbers_alone(folder: Path):
    generator = load(folder, RANDOM)
    images, uniforms = random(5, 3, 20, 20), random(5, 6, seed=4)
    state = torch.get_rng_state()
    answers = generator.generate(images, uniforms)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert generator.generate(images, uniforms) == answers
    torch.set_rng_state(state)
    assert generator.generate(images, random(5, 6, seed=5)) != answers
    with pytest.raises(ValueError, match=r"expected uniforms of shape \(5, 6\)"):
        generator.generate(images)


@pytest.mark.parametrize("settings", [{"temperature": 1.0}, {"temperature": 1.5, "top_k": 6}])
def test_first_words_are_distributed_as_the_model_says(folder: Path, settings: dict[str, Any]):
    generator = load(folder, Decoding(max_new_tokens=1, **settings))
    picture = levels(1)
    inputs = usual_inputs(folder, generator, picture[0])
    with torch.no_grad():
        scores = generator.model(**inputs).logits[:, -1] / settings["temperature"]
    if "top_k" in settings:
        scores = transformers.TopKLogitsWarper(settings["top_k"])(inputs["input_ids"], scores)
    draws = 500
    uniforms = torch.rand(draws, 1, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    counts = Counter(generator.generate((picture / 255).repeat(draws, 1, 1, 1), uniforms))
    expected: Counter[str] = Counter()
    for token, probability in enumerate(scores.softmax(-1)[0].tolist()):
        expected[generator.tokenizer.decode([token], skip_special_tokens=True)] += draws * probability
    assert set(counts) <= {text for text, number in expected.items() if number > 0}
    common = [text for text, number in expected.items() if number >= 5]
    observed = [counts[text] for text in common] + [draws - sum(counts[text] for text in common) + 1e-9]
    predicted = [expected[text] for text in common] + [draws - sum(expected[text] for text in common) + 1e-9]
    if predicted[-1] < 1:
        observed, predicted = (
            observed[:-1],
            [number * sum(observed[:-1]) / sum(predicted[:-1]) for number in predicted[:-1]],
        )
    assert len(common) > 2
    assert chisquare(observed, predicted).pvalue > 1e-3


def test_log_probability_is_the_models_own(folder: Path, greedy: TransformersGenerator):
    pictures, answers = levels(3), ["a red apple on white", "", "fox"]
    found = greedy.log_probability(pictures / 255, answers).tolist()
    for picture, answer, value in zip(pictures, answers, found, strict=True):
        inputs = usual_inputs(folder, greedy, picture)
        expected = 0.0
        for token in [*greedy.tokenizer(answer)["input_ids"], 2]:
            with torch.no_grad():
                logits = greedy.model(**inputs).logits[0, -1]
            expected += float(logits.log_softmax(-1)[token])
            inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([[token]])], 1)
            for key in {"attention_mask", "mm_token_type_ids"} & set(inputs):
                more = torch.full((1, 1), int(key == "attention_mask"))
                inputs[key] = torch.cat([inputs[key], more], 1)
        assert value == pytest.approx(expected, abs=1e-4)


def test_log_probability_has_the_gradient_of_the_pixels(greedy: TransformersGenerator):
    images = random(2, 3, 20, 20).requires_grad_()
    (gradient,) = torch.autograd.grad(greedy.log_probability(images, ["a fox", "red"]).sum(), images)
    direction = gradient / gradient.norm()
    with torch.no_grad():
        ends = [greedy.log_probability(images + step * direction, ["a fox", "red"]).sum() for step in (0.005, -0.005)]
    assert float(ends[0] - ends[1]) / 0.01 == pytest.approx(float(gradient.norm()), rel=0.02)
    with pytest.raises(ValueError, match=r"list of 2 texts, one per picture, got 1"):
        greedy.log_probability(images, ["a fox"])


def test_description_holds_what_an_answer_depends_on(folder: Path):
    decoding = Decoding(max_new_tokens=3, temperature=0.5, top_k=4, top_p=0.9)
    generator = load_generator(folder, prompt="what is this", decoding=decoding)
    row = json.loads(json.dumps(generator.describe()))
    assert Decoding.from_row(row["decoding"]) == decoding
    assert (row["name"], row["prompt"], row["dtype"]) == (folder.name, "what is this", "float32")
    assert "what is this" in row["question"]
    assert row["image_processor"]["image_mean"] == list(generator.processor.image_processor.image_mean)
    assert row["weights"] == load(folder).describe()["weights"]
    with torch.no_grad():
        next(generator.parameters()).view(-1)[0] += 1
    assert row["weights"] != generator.describe()["weights"]
