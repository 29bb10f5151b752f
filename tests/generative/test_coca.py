"""CoCa against open_clip's own generation, on a tiny model of open_clip's own list."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
import transformers
from open_clip import coca_model, factory
from scipy.stats import chisquare

from hrvlm.generative import Decoding, load_generator
from hrvlm.generative.coca import CoCaGenerator, load_coca
from hrvlm.models import VisionLanguageModel
from hrvlm.models.building import from_config

TOWER = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
CONFIG: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 16, "layers": 2, "width": 16, "head_width": 8, "patch_size": 4, "attentional_pool": True,
        "attn_pooler_heads": 2, "output_tokens": True,
    },
    "text_cfg": TOWER | {"embed_cls": True, "output_tokens": True},
    "multimodal_cfg": TOWER | {"attn_pooler_heads": 2},
    "custom_text": True,
}  # fmt: skip
WORDS = ["a", "red", "apple", "fox", "on", "white"]


@pytest.fixture(scope="module", autouse=True)
def tiny_coca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Lists a tiny architecture among open_clip's; the folder that holds it."""
    folder = tmp_path_factory.mktemp("configs")
    (folder / "coca_tiny.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder)
    yield folder
    factory._MODEL_CONFIGS.pop("coca_tiny")
    factory._MODEL_CONFIG_PATHS.remove(folder)
    factory._rescan_model_configs()


@functools.cache
def model_that_ends(end: float) -> VisionLanguageModel:
    """A model that says few words, and ends the sooner the larger `end` is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loaded = load_coca("coca_tiny", "none", prompt=None, decoding=Decoding(max_new_tokens=4))
        clip = loaded.model.clip
        with torch.no_grad():
            for name, parameter in clip.named_parameters():
                parameter += (0.02 if "embedding" in name else 0.3) * torch.randn_like(parameter)
            rest = torch.ones(TOWER["vocab_size"], dtype=torch.bool)
            rest[[loaded.tokenizer.encode(word)[0] for word in WORDS] + [loaded.end]] = False
            clip.text_decoder.text_projection[:, rest] *= 0.01
            clip.text_decoder.text_projection[:, loaded.end] *= end
    return loaded.model


def generator(decoding: Decoding, prompt: str = "", *, end: float = 1.0) -> CoCaGenerator:
    return CoCaGenerator(model_that_ends(end), prompt=prompt, decoding=decoding)


def pictures(count: int, size: int = 20, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def uniforms(count: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def _reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets open_clip generate with a transformers that has no beam search scorer, which greedy search does not need."""
    monkeypatch.setattr(coca_model, "_has_transformers", True)
    monkeypatch.setitem(coca_model.GENERATION_TYPES, "top_k", transformers.TopKLogitsWarper)


@pytest.mark.usefixtures("_reference")
@pytest.mark.parametrize("prompt", ["", "a red"])
def test_greedy_answers_are_those_of_open_clip(prompt: str):
    ours = generator(Decoding(max_new_tokens=6), prompt, end=1.5)
    images = pictures(24) * 3 - 1
    start = torch.tensor([ours.start]).expand(len(images), -1)
    with torch.no_grad():
        tokens = ours.model.clip.generate(
            ours.model.preprocess(images), text=start, generation_type="top_k", top_k=1, min_seq_len=0,
            seq_len=start.shape[1] + 7,
        )  # fmt: skip
    expected = []
    for row in tokens[:, start.shape[1] :].tolist():
        expected.append(ours.tokenizer.decode(row[: row.index(ours.end)]).strip())
    assert ours.generate(images) == expected
    lengths = {len(text.split()) for text in expected}
    assert 6 in lengths
    assert min(lengths) < 6


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_do_not_depend_on_the_batch(temperature: float):
    model = generator(Decoding(max_new_tokens=6, temperature=temperature), end=1.5)
    images, numbers = pictures(5), uniforms(5, model.num_uniforms)
    together = model.generate(images, numbers)
    assert together == [model.generate(images[i : i + 1], numbers[i : i + 1])[0] for i in range(5)]
    assert together == model.generate(images.flip(0), numbers.flip(0))[::-1]


def test_answers_change_with_noise_and_with_numbers():
    greedy, model = generator(Decoding(max_new_tokens=6)), generator(Decoding(max_new_tokens=6, temperature=1.0))
    images = pictures(12)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    assert greedy.generate(images) != greedy.generate(images + noise)
    assert greedy.generate(images + noise) != greedy.generate((images + noise).clamp(0, 1))
    state = torch.get_rng_state()
    answers = model.generate(images, uniforms(12, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert model.generate(images, uniforms(12, 6)) == answers != model.generate(images, uniforms(12, 6, seed=1))
    with pytest.raises(ValueError, match=r"expected uniforms of shape \(12, 6\)"):
        model.generate(images, uniforms(12, 5))


def test_first_words_are_distributed_as_the_model_says():
    model = generator(Decoding(max_new_tokens=1, temperature=4.0, top_k=4))
    image, draws = pictures(1), 120
    counts = Counter(model.generate(image.repeat(draws, 1, 1, 1), uniforms(draws, 1)))
    start = torch.tensor([model.start])
    with torch.no_grad():
        logits = model.model.clip(model.model.preprocess(image), start, output_labels=False)["logits"][:, -1]
    kept = transformers.TopKLogitsWarper(4)(start, logits.double() / 4.0).softmax(-1)[0]
    likely = {model._text([token]): draws * float(kept[token]) for token in kept.nonzero()[:, 0].tolist()}
    assert set(counts) <= set(likely)
    assert min(likely.values()) > 5
    assert chisquare([counts[text] for text in likely], list(likely.values())).pvalue > 1e-3


def test_log_probability_sums_what_the_model_says_token_by_token():
    model = generator(Decoding(max_new_tokens=4), "on white")
    images, answers = pictures(3), ["a red fox", "", "apple"]
    found = model.log_probability(images, answers).tolist()
    for image, answer, value in zip(images, answers, found, strict=True):
        tokens, expected = list(model.start), 0.0
        for token in [*model.tokenizer.encode(answer), model.end]:
            given = model.model.preprocess(image[None]), torch.tensor([tokens])
            with torch.no_grad():
                logits = model.model.clip(*given, output_labels=False)["logits"][0, -1]
            expected += float(logits.log_softmax(-1)[token])
            tokens.append(token)
        assert value == pytest.approx(expected, abs=1e-4)


def test_log_probability_has_the_gradient_of_the_pixels():
    model = generator(Decoding(max_new_tokens=4))
    images = pictures(2).requires_grad_()
    (gradient,) = torch.autograd.grad(model.log_probability(images, ["a fox", "red"]).sum(), images)
    direction = gradient / gradient.norm()
    with torch.no_grad():
        ends = [model.log_probability(images + step * direction, ["a fox", "red"]).sum() for step in (0.01, -0.01)]
    assert float(ends[0] - ends[1]) / 0.02 == pytest.approx(float(gradient.norm()), rel=0.02)


def test_what_is_too_long_or_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"max_new_tokens - 1 to be at most 11 tokens .* got 12"):
        generator(Decoding(max_new_tokens=13))
    model = generator(Decoding(max_new_tokens=12))
    assert model.generate(pictures(1))
    with pytest.raises(ValueError, match=r"the longest answer to be at most 11 tokens .* got 12"):
        model.log_probability(pictures(1), ["fox " * 12])
    with pytest.raises(ValueError, match=r"list of 1 texts, one per picture, got the single text"):
        model.log_probability(pictures(1), "f")
    with pytest.raises(ValueError, match=r"expected images of shape \(N, 3, H, W\)"):
        model.generate(pictures(1)[0])
    for name in ("RN50", "coca_roberta-ViT-B-32", "coca_unheard_of"):
        with pytest.raises(ValueError, match=f"expected an open_clip CoCa .* got '{name}'"):
            load_coca(name, None, prompt=None, decoding=Decoding())
    with pytest.raises(ValueError, match="pretrained tag of coca_tiny"):
        load_coca("coca_tiny", "laion", prompt=None, decoding=Decoding())
    clip = from_config(
        {"model_cfg": {key: CONFIG[key] for key in ("embed_dim", "vision_cfg", "text_cfg")}}, name="clip"
    )
    with pytest.raises(ValueError, match=r"expected an open_clip CoCa .* got CLIP with SimpleTokenizer"):
        CoCaGenerator(clip, prompt="", decoding=Decoding(max_new_tokens=4))


def test_it_loads_by_name_and_describes_itself():
    decoding = Decoding(max_new_tokens=5, temperature=0.7)
    model = load_generator("coca_tiny/none", decoding=decoding)
    row = json.loads(json.dumps(model.describe()))
    assert (row["name"], row["prompt"]) == ("coca_tiny", "")
    assert Decoding.from_row(row["decoding"]) == decoding
    assert not model.training
    projection = model.model.clip.text_decoder.text_projection
    assert 0.2 < float(projection.detach().std()) < 0.3  # a quarter: one over the root of the width


WITHOUT_TRANSFORMERS = """
import pathlib, sys
sys.modules["transformers"] = None  # as if it were not installed
import open_clip, torch
open_clip.add_model_config(sys.argv[1])
from hrvlm.generative import Decoding, load_generator
model = load_generator("coca_tiny/none", decoding=Decoding(max_new_tokens=3))
print(len(model.generate(torch.rand(2, 3, 16, 16))), "answers")
pathlib.Path(sys.argv[1], "config.json").write_text("{}")
try:
    load_generator(sys.argv[1])
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_it_answers_without_transformers_whose_models_name_the_extra(tiny_coca: Path, tmp_path: Path):
    for path in tiny_coca.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_TRANSFORMERS, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    answers, missing = ended.stdout.splitlines()
    assert answers == "2 answers"
    assert 'pip install "hrvlm[generative]"' in missing
