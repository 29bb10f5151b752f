"""The captioner against slow ways to the same numbers: without cache, one picture at a time, by frequency."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import chisquare
from torch import Tensor, nn

from hrvlm.data import emoji
from hrvlm.generative import Decoding, choose_tokens, load_generator, weights_digest
from hrvlm.generative.captioner import END, Captioner, Vocabulary
from hrvlm.generative.captioner_files import PROBE_FILE, WEIGHTS_FILE, export_captioner, load_captioner
from hrvlm.generative.captions import PROMPTS
from hrvlm.models import inference_copy
from hrvlm.models.building import from_config

VISION = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32}
TEXT = {"context_length": 4, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}
CONFIG = {"model_cfg": {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT}}
SAMPLED = Decoding(temperature=1.0, max_new_tokens=7)


def tiny(words: str = "a b c d e", *, decoding: Decoding | None = None, prompt: str = "describe") -> Captioner:
    """An untrained captioner whose answers differ between pictures and end after some words."""
    torch.manual_seed(0)
    sizes = {"width": 16, "layers": 2, "heads": 2, "context": 9}
    captioner = Captioner(
        from_config(CONFIG, name="tiny"), Vocabulary(words.split()), prompt=prompt, decoding=decoding, **sizes
    )
    captioner.decoder.words.weight.data.normal_(std=0.3)
    captioner.decoder.prompts.weight.data.normal_(std=0.6)
    captioner.decoder.places.data.normal_(std=1.0)
    for layer in (captioner.image_tokens.places, captioner.image_tokens.pooled):
        layer.weight.data.normal_(std=3.0)  # pictures shall matter
    for block in captioner.decoder.blocks:
        block.output.weight.data.mul_(8)
        block.down.weight.data.mul_(8)
    for part in captioner.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            part.momentum = 1.0
    captioner.train().image_tokens(pictures())  # statistics of the batch norms
    return captioner.eval()


def pictures() -> Tensor:
    """Twelve coloured patterns with noise that leaves [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(12, 3, 2, 2, generator=generator).repeat_interleave(16, 2).repeat_interleave(16, 3)
    return colours + 0.1 * torch.randn(12, 3, 32, 32, generator=generator)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return pictures()


def numbers(count: int, decoding: Decoding = SAMPLED, seed: int = 0) -> Tensor:
    return torch.rand(count, decoding.max_new_tokens, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def without_cache(captioner: Captioner, images: Tensor, uniforms: Tensor | None) -> tuple[list[str], Tensor]:
    """Answers, and the log-probability of each with its end, by whole forward passes over one picture."""
    answers, scores = [], []
    for i in range(len(images)):
        memory = captioner.image_tokens(images[i : i + 1])
        prompt = torch.tensor([PROMPTS.index(captioner.prompt)])
        chosen: list[int] = []
        score = 0.0
        while END not in chosen and len(chosen) < captioner.decoding.max_new_tokens:
            logits = captioner.decoder(memory, prompt, torch.tensor([chosen], dtype=torch.long))[:, -1]
            uniform = None if uniforms is None else uniforms[i : i + 1, len(chosen)]
            chosen.append(int(choose_tokens(logits, captioner.decoding, uniform)))
            score += float(logits[0].double().softmax(0)[chosen[-1]].log())
        answers.append(captioner.vocabulary.decode(chosen))
        scores.append(score if END in chosen else float("nan"))
    return answers, torch.tensor(scores)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("decoding", [Decoding(max_new_tokens=7), SAMPLED], ids=["greedy", "sampled"])
def test_cache_and_batches_change_nothing(images: Tensor, decoding: Decoding, prompt: str) -> None:
    captioner = tiny(decoding=decoding, prompt=prompt)
    uniforms = numbers(12) if decoding.random else None
    expected, _ = without_cache(captioner, images, uniforms)
    assert len(set(expected)) > 2
    assert captioner.generate(images, uniforms) == expected
    parts = [(images[i : i + 5], None if uniforms is None else uniforms[i : i + 5]) for i in range(0, 12, 5)]
    assert [text for part, own in parts for text in captioner.generate(part, own)] == expected


def test_prompts_lead_to_different_answers(images: Tensor) -> None:
    assert tiny().generate(images) != tiny(prompt="act").generate(images)


def test_log_probability_is_that_of_the_sampled_tokens(images: Tensor) -> None:
    captioner = tiny(decoding=SAMPLED)
    answers, expected = without_cache(captioner, images, numbers(12))
    ended = expected.isfinite()
    assert ended.sum() > 3
    found = captioner.log_probability(images, answers)
    torch.testing.assert_close(found[ended], expected[ended].float(), atol=1e-5, rtol=1e-5)


def test_answers_come_as_often_as_their_probability(images: Tensor) -> None:
    captioner = tiny("a b", decoding=SAMPLED)
    count = 1500
    sampled = captioner.generate(images[:1].expand(count, -1, -1, -1), numbers(count))
    texts = ["", "a", "b", "a a", "a b", "b a", "b b"]
    probabilities = captioner.log_probability(images[:1].expand(len(texts), -1, -1, -1), texts).exp().double()
    counts = torch.tensor([sampled.count(text) for text in texts], dtype=torch.float64)
    observed = torch.cat([counts, (count - counts.sum())[None]])
    expected = torch.cat([probabilities, (1 - probabilities.sum())[None]]).detach() * count
    assert 0 < probabilities.sum() < 1
    assert chisquare(observed, expected).pvalue > 1e-3


def test_log_probability_has_the_gradient_of_its_differences(images: Tensor) -> None:
    captioner = tiny().double()
    answers = ["a c", "e", "b b d"]
    inputs = images[:3].double().requires_grad_()
    (gradient,) = torch.autograd.grad(captioner.log_probability(inputs, answers).sum(), inputs)
    direction = torch.randn(inputs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        ahead, behind = (captioner.log_probability(inputs + s * 1e-8 * direction, answers).sum() for s in (1, -1))
    torch.testing.assert_close((gradient * direction).sum(), (ahead - behind) / 2e-8, rtol=1e-5, atol=1e-6)


def test_generating_leaves_modes_flags_and_statistics(images: Tensor) -> None:
    captioner = tiny().train()
    before = weights_digest(captioner)
    captioner.generate(images)
    assert weights_digest(captioner) == before
    assert all(module.training for module in captioner.modules())
    assert all(parameter.requires_grad for parameter in captioner.parameters())


def test_max_new_tokens_cuts_answers_off(images: Tensor) -> None:
    short = tiny(decoding=Decoding(temperature=1.0, max_new_tokens=2))
    whole = tiny(decoding=SAMPLED).generate(images, numbers(12))
    cut = short.generate(images, numbers(12)[:, :2])
    assert cut == [" ".join(text.split()[:2]) for text in whole]
    assert cut != whole


@pytest.mark.parametrize("half", [False, True])
def test_a_written_captioner_is_the_same(images: Tensor, tmp_path: Path, half: bool) -> None:
    captioner = tiny(decoding=SAMPLED)
    export_captioner(captioner, tmp_path / "model", half=half)
    loaded = load_generator(tmp_path / "model", decoding=SAMPLED, prompt="act")
    answers = ["a b", "c"]
    captioner.prompt = "act"
    found, expected = (model.log_probability(images[:2], answers) for model in (loaded, captioner))
    torch.testing.assert_close(found, expected, atol=3e-2 if half else 1e-6, rtol=0)
    assert (loaded.describe()["weights"] == weights_digest(captioner)) != half
    assert loaded.describe()["prompt"] == "act"
    if not half:
        assert loaded.generate(images, numbers(12)) == captioner.generate(images, numbers(12))


def _shifted(folder: Path) -> None:
    state = load_file(folder / "captioner.safetensors")
    save_file(state | {"decoder.places": state["decoder.places"].flip(0)}, folder / "captioner.safetensors")


def _without_images(folder: Path) -> None:
    stored = load_file(folder / "probe.safetensors")
    save_file(stored | {"images": stored["images"][:0]}, folder / "probe.safetensors")


def _with_truth_values(folder: Path) -> None:
    stored = load_file(folder / "probe.safetensors")
    changed = {"log_probabilities": stored["log_probabilities"] > 0}
    save_file(stored | changed, folder / "probe.safetensors")


def _of_another_format(folder: Path) -> None:
    described = json.loads((folder / "captioner.json").read_text(encoding="utf-8"))
    (folder / "captioner.json").write_text(json.dumps(described | {"format": 0}), encoding="utf-8")


def _without_a_word(folder: Path) -> None:
    described = json.loads((folder / "captioner.json").read_text(encoding="utf-8"))
    described["words"].pop()
    (folder / "captioner.json").write_text(json.dumps(described), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_shifted, "reproduce the log-probabilities of its probe batch"),
        (_without_images, "expected images of shape .* in the probe batch"),
        (_with_truth_values, "expected log_probabilities in the probe batch .* got torch.bool"),
        (_of_another_format, "captioner of format 1"),
        (_without_a_word, "expected a whole captioner"),
        (lambda folder: (folder / "captioner.safetensors").unlink(), "expected a whole captioner"),
        (lambda folder: (folder / "captioner.safetensors").write_bytes(b"x"), "expected a whole captioner"),
        (lambda folder: (folder / "probe.safetensors").write_bytes(b"x"), "readable probe batch"),
        (lambda folder: (folder / "captioner.json").write_text("{"), "readable description"),
        (lambda folder: (folder / "captioner.json").unlink(), "expected path as one of"),
    ],
)
def test_damaged_folders_are_refused(tmp_path: Path, damage: object, message: str) -> None:
    export_captioner(tiny(), tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
    damage(tmp_path / "damaged")  # type: ignore[operator]
    with pytest.raises(ValueError, match=message):
        load_generator(tmp_path / "damaged")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model, images: model.generate(images[0]), r"shape \(N, 3, H, W\)"),
        (lambda model, images: model.generate(images), r"uniforms of shape \(12, 7\).* got None"),
        (lambda model, images: model.generate(images, torch.rand(12, 6)), r"got \(12, 6\)"),
        (lambda model, images: model.log_probability(images[:1], ["a zebra"]), "vocabulary in 'a zebra', got zebra"),
        (lambda model, images: model.log_probability(images, ["a"]), "one answer per image, got 1 for 12"),
        (lambda model, images: model.log_probability(images[:1], ["a " * 9]), "at most 8 words, got 9"),
        (lambda model, images: tiny(prompt="sing"), "prompt as one of describe, act"),
        (lambda model, images: Vocabulary(["a", "a"]), "every word once"),
    ],
)
def test_what_does_not_fit_is_refused(images: Tensor, call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(tiny(decoding=SAMPLED), images)  # type: ignore[operator]


def test_vocabulary_says_what_it_reads() -> None:
    vocabulary = Vocabulary.of(["a red apple", "a fox"])
    assert vocabulary.words == ("a", "apple", "fox", "red")
    assert vocabulary.decode([*vocabulary.encode("a red fox"), END, 1]) == "a red fox"
    assert vocabulary.decode(vocabulary.encode("fox")) == "fox"
    assert len(vocabulary) == 5


def test_the_packaged_captioner_answers_about_pictures_and_noise() -> None:
    data = emoji("unseen_artist")
    names = ("sailboat", "soccer ball", "tulip")
    shown = torch.stack([data[data.class_names.index(name)][0] for name in names])
    shown = torch.cat([shown, torch.full((1, 3, 64, 64), 0.5)])
    noise = torch.randn(shown.shape, generator=torch.Generator().manual_seed(0))
    act = load_generator("emoji-captioner", prompt="act", decoding=Decoding(max_new_tokens=12))
    describe = load_generator("emoji-captioner")
    for sigma in (0.0, 0.1):
        commands = ["go to the sailboat", "watch the soccer ball", "follow the tulip", "wait"]
        assert act.generate(shown + sigma * noise) == commands
        texts = describe.generate((shown + sigma * noise)[1:])
        assert [name in text for name, text in zip((*names[1:], "nothing"), texts, strict=True)] == [True] * 3
    assert act.log_probability(shown[:3], commands[:3]).min() > -2


@pytest.mark.parametrize("decoding", [Decoding(max_new_tokens=7), SAMPLED], ids=["greedy", "sampled"])
def test_answers_from_scores_that_are_none_are_blank(images: Tensor, decoding: Decoding) -> None:
    captioner = tiny(decoding=decoding)
    uniforms = numbers(len(images), decoding)
    broken = images.clone()
    broken[1, 0, 0, 0] = torch.nan
    answers, others = captioner.generate(broken, uniforms), captioner.generate(images, uniforms)
    assert answers == [*others[:1], "", *others[2:]]
    assert others[1] != ""
    assert captioner.lost.count == 1
    assert inference_copy(captioner).generate(broken, uniforms) == answers
    assert captioner.lost.count == 2


def test_weights_that_are_none_are_refused_by_name(tmp_path: Path) -> None:
    export_captioner(tiny(), tmp_path)
    (tmp_path / PROBE_FILE).unlink()
    state = load_file(tmp_path / WEIGHTS_FILE)
    state["decoder.words.weight"][2, 1] = torch.nan
    save_file(state, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ValueError, match=r"got NaN or infinity in decoder\.words\.weight"):
        load_captioner(tmp_path)
