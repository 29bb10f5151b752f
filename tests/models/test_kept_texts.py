"""Texts go through a frozen text tower once, and again as soon as anything could have changed."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from hrvlm.models import VisionLanguageModel, inference_copy, load_model
from hrvlm.models.kept_texts import unwritten

TEXTS = ["a picture of a fox", "a picture of a bee"]


@pytest.fixture
def model(tiny_model: Path) -> VisionLanguageModel:
    return load_model(str(tiny_model)).requires_grad_(False).eval()


def passes(model: VisionLanguageModel) -> list[int]:
    """Grows by the number of texts at every pass through the tower."""
    seen: list[int] = []
    model.clip.token_embedding.register_forward_hook(lambda module, given, made: seen.append(len(made)))
    return seen


def test_the_same_texts_are_encoded_once(model: VisionLanguageModel) -> None:
    seen, first = passes(model), model.text_hidden(TEXTS)
    first_again = first.clone()
    first.zero_()  # what is given out is the caller's own
    assert torch.equal(model.text_hidden(TEXTS), first_again)
    assert seen == [2]
    assert torch.equal(model.text_hidden(TEXTS[:1]), model.text_hidden(TEXTS[:1]))
    assert seen == [2, 1]


def test_changed_weights_are_used(model: VisionLanguageModel) -> None:
    before = model.text_hidden(TEXTS)
    with torch.no_grad():
        model.clip.token_embedding.weight.mul_(2)
    changed = model.text_hidden(TEXTS)
    assert not torch.equal(changed, before)
    model.clip.load_state_dict({name: value * 0.5 for name, value in model.clip.state_dict().items()})
    assert not torch.equal(model.text_hidden(TEXTS), changed)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.clip.token_embedding.weight.zero_()
    assert not torch.equal(other.text_hidden(TEXTS), model.text_hidden(TEXTS))


def test_weights_written_to_uncounted_are_seen_but_where_nobody_writes_so(model: VisionLanguageModel) -> None:
    weight = model.clip.token_embedding.weight
    with unwritten(model):
        first = model.text_hidden(TEXTS)
        weight.data.mul_(2)  # PyTorch does not count this
        assert torch.equal(model.text_hidden(TEXTS), first)
        assert torch.equal(inference_copy(model).text_hidden(TEXTS), first)
        changed = copy.deepcopy(model).text_hidden(TEXTS)
        with torch.no_grad():
            weight.mul_(1)
        assert torch.equal(model.text_hidden(TEXTS), changed)
    weight.data.mul_(0.5)
    assert not torch.equal(changed, first)
    assert torch.equal(model.text_hidden(TEXTS), first)


def test_a_copy_made_where_nobody_writes_sees_what_is_written_to_it(model: VisionLanguageModel) -> None:
    with unwritten(model):
        model.text_hidden(TEXTS)
        other = copy.deepcopy(model)
    first = other.text_hidden(TEXTS)
    other.clip.token_embedding.weight.data.mul_(2)
    assert not torch.equal(other.text_hidden(TEXTS), first)


def test_a_tower_that_is_trained_is_always_asked(model: VisionLanguageModel) -> None:
    seen = passes(model)
    model.clip.token_embedding.weight.requires_grad_(True)
    assert torch.equal(model.text_hidden(TEXTS), model.text_hidden(TEXTS))
    model.requires_grad_(False).train()
    model.text_hidden(TEXTS)
    assert seen == [2, 2, 2]


def test_the_projection_may_be_trained(model: VisionLanguageModel) -> None:
    seen = passes(model)
    for part in model.text_projection_parameters():
        part.requires_grad_(True)
    first = model.text_hidden(TEXTS)
    for part in model.text_projection_parameters():
        with torch.no_grad():
            part.mul_(2)
    assert torch.equal(model.text_hidden(TEXTS), first)
    assert seen == [2]
