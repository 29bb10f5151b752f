"""Looks, their captions, and training samples by address."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from torch.utils.data import DataLoader

from hrvlm.data.appearance import Appearance, render
from hrvlm.data.emoji_pack.captions import (
    ADJECTIVES,
    BACKGROUNDS,
    LIGHTS,
    SIZES,
    UNSTATED,
    altered_values,
    caption,
    noun_phrase,
    random_look,
    stated_values,
    with_article,
)
from hrvlm.data.emoji_pack.training import AugmentedEmoji, CaptionedEmoji
from hrvlm.data.sampling import Address
from hrvlm.objectives.contrastive import caption_truth
from hrvlm.trees import load_forest

TREES = [Path(__file__).parents[2] / "trees" / f"emoji_{name}.yaml" for name in ("unicode", "wordnet")]
CONTEXT_LENGTH = 24  # of the packaged model's text tower


@pytest.fixture(scope="module")
def captioned() -> CaptionedEmoji:
    return CaptionedEmoji(load_forest(TREES), noise_share=0.3, noise=0.1)


def addresses(count: int, seed: int = 0) -> list[Address]:
    generator = np.random.default_rng(seed)
    return [Address(int(generator.integers(2000)), int(generator.integers(50))) for _ in range(count)]


def assert_same(first: dict[str, object], second: dict[str, object]) -> None:
    assert first.keys() == second.keys()
    for key, value in first.items():
        same = torch.equal(value, second[key]) if isinstance(value, torch.Tensor) else value == second[key]
        assert same, key


def test_wording() -> None:
    blue, small, dark = list(BACKGROUNDS).index("blue"), SIZES.index("small"), LIGHTS.index("dark")
    silent = (UNSTATED,) * 5
    assert caption("a red apple", silent) == "a picture of a red apple"
    stated = (blue, small, UNSTATED, UNSTATED, UNSTATED)
    assert caption("a red apple", stated) == "a small picture of a red apple on a blue background"
    stated = (list(BACKGROUNDS).index("orange"), UNSTATED, dark, 2, 1)
    assert caption("food", stated) == "a dark oddly coloured tilted picture of food on an orange background"


@pytest.mark.parametrize(("phrase", "expected"), [("apple", "an apple"), ("red apple", "a red apple")])
def test_articles(phrase: str, expected: str) -> None:
    assert with_article(phrase) == expected


def test_a_noun_comes_from_the_prompt_or_the_name() -> None:
    generator = np.random.default_rng(0)
    nouns = {noun_phrase("egg dish", "a picture of some eggs", generator) for _ in range(300)}
    assert nouns == {"some eggs", "an egg dish", "the egg dish", "egg dish"}


def test_attribute_values_are_true_of_the_appearance() -> None:
    generator = np.random.default_rng(1)
    colours = np.array(list(BACKGROUNDS.values()))
    plain, seen = Appearance(), set()
    for _ in range(2000):
        look = random_look(generator)
        shown, (background, size, light, colouring, tilt) = look.appearance, look.values
        seen.add((size, light, colouring, tilt))
        nearest = np.linalg.norm(colours - np.array(shown.background), axis=1).argmin()
        assert nearest == background
        assert (size == 1) == (shown.size < 0.7)
        assert (size == 2) == (shown.size > 1.1)
        assert (light == 1) == (shown.brightness < 0.7)
        assert (light == 2) == (shown.brightness > 1.2)
        assert (colouring == 1) == (shown.greyscale == 1)
        assert (colouring == 2) == (45 < shown.hue < 315)
        assert (tilt == 1) == (abs(shown.rotation) > 15)
        assert abs(shown.shift_x) < 0.1 > abs(shown.shift_y)
    assert (
        {values[0] for values in seen} == {values[1] for values in seen} == {values[2] for values in seen} == {0, 1, 2}
    )
    assert plain.background == BACKGROUNDS["white"]


def test_stated_values_are_those_of_the_look_and_have_words() -> None:
    generator = np.random.default_rng(2)
    counts = np.zeros(5)
    for _ in range(1000):
        look = random_look(generator)
        stated = stated_values(look, generator)
        counts += [value != UNSTATED for value in stated]
        assert all(said in (UNSTATED, value) for said, value in zip(stated, look.values, strict=True))
        assert 0 not in stated[1:]
        words = caption("a fox", stated).removesuffix(" background").split()
        named = [table[value] for table, value in zip(ADJECTIVES, stated[1:], strict=True) if value > 0]
        assert len(words) == 5 + sum(len(word.split()) for word in named) + (3 if stated[0] != UNSTATED else 0)
    assert 450 < counts[0] < 550


def test_altered_values_differ_in_one_word_that_is_wrong() -> None:
    generator = np.random.default_rng(4)
    tables, changed = (list(BACKGROUNDS), *ADJECTIVES), np.zeros(5, dtype=int)
    for _ in range(2000):
        look = random_look(generator)
        stated = stated_values(look, generator)
        altered = altered_values(look, stated, generator)
        (position,) = [i for i in range(5) if altered[i] != stated[i]]
        changed[position] += 1
        assert altered[position] != look.values[position]
        assert altered[position] != UNSTATED
        assert tables[position][altered[position]]  # there is a word for it
        assert position == 0 or stated[position] != UNSTATED
        assert caption("an apple", altered) != caption("an apple", stated)
    assert changed[0] > 1000
    assert (changed[1:4] > 20).all()
    assert changed[4] == 0  # "tilted" has no contrary


def test_altered_captions_are_true_of_no_picture_that_they_are_given_with(captioned: CaptionedEmoji) -> None:
    for sample in captioned.__getitems__(addresses(60)):
        covers = torch.ones(1, 1, dtype=torch.bool)
        assert caption_truth(covers, sample["values"][None], sample["stated"][None]).all()
        assert not caption_truth(covers, sample["values"][None], sample["altered"][None]).any()
        assert sample["altered_caption"] != sample["caption"]


def test_restyled_share_is_the_share_of_pictures_redrawn() -> None:
    drawn = AugmentedEmoji(plain_share=1.0)
    chosen = addresses(200)
    plain = torch.stack([sample["image"] for sample in drawn.__getitems__(chosen)])
    for share in (0.0, 0.5, 1.0):
        redrawn = AugmentedEmoji(plain_share=1.0, restyled_share=share)
        images = torch.stack([sample["image"] for sample in redrawn.__getitems__(chosen)])
        changed = (images != plain).flatten(1).any(1).float().mean()
        assert changed == pytest.approx(share, abs=0.12)
        if share == 0.0:
            assert torch.equal(images, plain)


def test_samples_say_what_is_true_of_them(captioned: CaptionedEmoji) -> None:
    truth = captioned.truth_table()
    levels = [prompt for prompts in captioned.prompts for prompt in prompts]
    assert truth.shape == (len(levels), 501)
    upper = 0
    for sample in captioned.__getitems__(addresses(300)):
        label, _ = captioned.data.items[sample["index"]]
        assert sample["label"] == label
        assert truth[sample["node"], label]
        upper += sample["node"] >= 501
        assert caption_truth(torch.tensor([[True]]), sample["values"][None], sample["stated"][None])
        assert sample["image"].shape == (3, 64, 64)
        assert 0 <= sample["image"].min() <= sample["image"].max() <= 1
    assert 0.2 < upper / 300 < 0.4


def test_truth_table_is_the_ancestry_in_the_tree_files(captioned: CaptionedEmoji) -> None:
    """Brute force: a node covers the classes that reach it by going from parent to parent."""
    forest = load_forest(TREES, leaves=captioned.class_names)
    truth, row = captioned.truth_table(), 501
    assert torch.equal(truth[:501], torch.eye(501, dtype=torch.bool))
    assert captioned.prompts[0] == forest[0].prompts(0)
    for tree in forest:
        for level in tree.levels[1:]:
            members = {node: set() for node in range(len(level.ids))}
            for leaf in range(501):
                node = leaf
                for step in range(level.index):
                    node = int(tree.parents(step)[node])
                members[node].add(leaf)
            for leaves in members.values():
                assert set(truth[row].nonzero().flatten().tolist()) == leaves
                row += 1
    assert row == len(truth)


def test_captions_fit_the_text_tower(captioned: CaptionedEmoji) -> None:
    texts = [sample["caption"] for sample in captioned.__getitems__(addresses(300, seed=5))]
    lengths = (open_clip.SimpleTokenizer(context_length=77)(texts) != 0).sum(1)
    assert lengths.max() <= CONTEXT_LENGTH


def test_a_sample_depends_on_seed_and_address_only(captioned: CaptionedEmoji) -> None:
    chosen = addresses(40)
    batch = captioned.__getitems__(chosen)
    np.random.seed(7)  # noqa: NPY002 - global state plays no part
    torch.manual_seed(7)
    for position in (0, 13, 39):
        assert_same(captioned[chosen[position]], batch[position])
    for one, other in zip(reversed(captioned.__getitems__(chosen[::-1])), batch, strict=True):
        assert_same(one, other)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_workers_change_nothing(captioned: CaptionedEmoji) -> None:
    chosen = addresses(12)
    loader = DataLoader(captioned, sampler=chosen, batch_size=5, num_workers=2, collate_fn=list)
    got = [sample for batch in loader for sample in batch]
    for one, other in zip(got, captioned.__getitems__(chosen), strict=True):
        assert_same(one, other)


def test_epochs_and_seeds_differ() -> None:
    first, other_seed = AugmentedEmoji(seed=1, plain_share=0.0), AugmentedEmoji(seed=2, plain_share=0.0)
    images = [first[Address(9, 0)], first[Address(9, 1)], other_seed[Address(9, 0)], first[Address(9, 0)]]
    looks = [sample["image"] for sample in images]
    assert torch.equal(looks[0], looks[3])
    assert not torch.equal(looks[0], looks[1])
    assert not torch.equal(looks[0], looks[2])


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.25, 50), (1.0, 200)])
def test_plain_share_is_the_share_of_pictures_as_drawn(share: float, expected: int) -> None:
    data, chosen = AugmentedEmoji(plain_share=share), [Address(index, 0) for index in range(200)]
    tiles = data.data.tiles(range(200))
    drawn = render(tiles, [Appearance()] * 200)
    plain = sum(torch.equal(s["image"], image) for s, image in zip(data.__getitems__(chosen), drawn, strict=True))
    assert plain == expected if expected in (0, 200) else abs(plain - expected) < 20


def test_noise_has_at_most_the_stated_deviation() -> None:
    chosen = [Address(index, 0) for index in range(60)]
    clean = AugmentedEmoji().__getitems__(chosen)
    noisy = AugmentedEmoji(noise_share=1.0, noise=0.05).__getitems__(chosen)
    deviations = torch.stack([(a["image"] - b["image"]).std() for a, b in zip(clean, noisy, strict=True)])
    assert 0.03 < deviations.max() < 0.051
    assert deviations.min() < 0.015
    assert all(sample["image"].max() <= 1 for sample in noisy)


@pytest.mark.parametrize("name", ["plain_share", "noise_share", "superclass_share"])
def test_shares_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"expected {name} in \[0, 1\], got 1.5"):
        CaptionedEmoji(load_forest(TREES[:1]), **{name: 1.5})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="noise >= 0"):
        AugmentedEmoji(noise=-0.1)
