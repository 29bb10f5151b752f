from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hrvlm.certificates import (
    Sample,
    SmoothingPlan,
    Statement,
    certify,
    done_keys,
    gaussian,
    record_from_row,
    verify_rows,
)
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.kinds.profile.options import ProfileOptions
from hrvlm.certificates.kinds.smoothing.certify import smoothing_records
from hrvlm.certificates.run.images import certify_images
from hrvlm.certificates.run.label_functions import function_of
from hrvlm.certificates.run.ledger import Ledger
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.certificates.sampling.feature_store import ROWS_PER_FILE, FeatureStore
from hrvlm.certificates.sampling.monte_carlo import procedure_of
from hrvlm.certificates.sampling.plan import SamplingOptions
from hrvlm.certificates.sampling.replay import replay
from hrvlm.data import emoji
from hrvlm.models import HierarchicalClassifier, load
from hrvlm.trees import load_forest

TREE = Path(__file__).parents[2] / "trees" / "emoji_unicode.yaml"
DARK = [Attribute(name="dark", target="a dark picture of a {}")]
PLAN = CertificationPlan(
    sigma=0.3, n0=10, n=70, alpha=0.05, seed=2, attributes=DARK, profile=ProfileOptions(), batch_size=64
)


def sample(index=3, shape=(1, 2, 2)):
    return Sample(index, torch.rand(*shape, generator=torch.Generator().manual_seed(index)), {"k": 0})


def features(count, width=5, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("draws", [1, 90, ROWS_PER_FILE, 2 * ROWS_PER_FILE + 77])
def test_features_come_back_bit_for_bit_in_bounded_pieces(tmp_path, draws):
    store, rows, done = FeatureStore(tmp_path, {"seed": 1}, draws), features(draws), 0
    store.begin(sample(), torch.ones(5))
    while done < draws:
        assert not store.is_complete(3)
        step = min(300, draws - done)
        store.append(3, range(done, done + step), rows[done : done + step])
        assert all(image.buffer is None or len(image.buffer) <= ROWS_PER_FILE for image in store._open.values())
        done += step
    assert store.is_complete(3)
    assert store.indices() == [3]
    again = FeatureStore.load(tmp_path)
    assert (again.draws, again.settings) == (draws, {"seed": 1})
    for asked in (range(draws), range(draws // 3, draws), range(draws // 2, draws // 2 + 1), range(0)):
        pieces = list(again.read(3, asked))
        assert all(len(piece) <= ROWS_PER_FILE for piece in pieces)
        assert torch.equal(torch.cat([*pieces, torch.empty(0, 5)]), rows[asked.start : asked.stop])
    assert torch.equal(again.clean(3), torch.ones(5))
    again.check_picture(sample())
    with pytest.raises(ValueError, match="another one"):
        again.check_picture(Sample(3, torch.zeros(1, 2, 2), {"k": 0}))


def test_a_store_belongs_to_its_settings_and_order(tmp_path):
    store = FeatureStore(tmp_path, {"sigma": 0.1, "seed": 1}, 20)
    with pytest.raises(ValueError, match="the seed that"):
        FeatureStore(tmp_path, {"sigma": 0.1, "seed": 2}, 20)
    with pytest.raises(ValueError, match="the draws that"):
        FeatureStore(tmp_path, {"sigma": 0.1, "seed": 1}, 21)
    with pytest.raises(ValueError, match="found no store"):
        FeatureStore.load(tmp_path / "none")
    store.begin(sample(), torch.ones(5))
    with pytest.raises(ValueError, match="expected draw 0"):
        store.append(3, range(5, 10), features(5))
    store.append(3, range(19), features(19))
    for asked in (range(0, 5), range(0, 21), range(0, 20, 2)):
        with pytest.raises(ValueError, match="found none"):
            list(store.read(3, asked))


def test_an_image_that_a_kill_left_unfinished_is_made_again(tmp_path):
    draws = ROWS_PER_FILE + 50
    killed = FeatureStore(tmp_path, {}, draws)
    killed.begin(sample(), torch.ones(5))
    killed.append(3, range(ROWS_PER_FILE + 20), features(ROWS_PER_FILE + 20, seed=9))
    store = FeatureStore(tmp_path, {}, draws)
    assert not store.is_complete(3)
    assert store.indices() == []
    store.begin(sample(), torch.ones(5))
    store.append(3, range(draws), features(draws))
    assert torch.equal(torch.cat(list(store.read(3, range(draws)))), features(draws))


def halves(images):
    return {"k": (images[:, 0, 0, 0] * 3).long().clamp(-1, 2)}


@pytest.mark.parametrize("procedure", ["split", "shared", "two bounds", "pilot", "adaptive"])
def test_replaying_labels_gives_the_records_of_the_loop(procedure):
    goal = 0.1 if procedure == "adaptive" else None
    plan = SmoothingPlan(sigma=0.25, n0=20, n=200, alpha=0.05, seed=3, procedure=procedure, goal=goal)
    statement = Statement("k", "t", 0, "leaf", 3)
    for index in range(6):
        one = sample(index)
        [[direct]] = certify(halves, [one], [statement], plan)
        labels = halves(one.image + gaussian((1, 2, 2), 3, index, range(220), 0.25))["k"]

        def known(draws, labels=labels):
            return ({"k": part} for part in labels[draws.start : draws.stop].split(17))

        assert smoothing_records(replay(procedure_of([statement], plan)(one), known, {"k": 3}), plan) == [direct]


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, HierarchicalClassifier]:
    """The packaged model, whose labels change under noise, with the prompts of a tree and with others."""
    other = tmp_path_factory.mktemp("other") / "other.yaml"
    text = TREE.read_text(encoding="utf-8").replace("emoji_unicode", "others", 1)
    other.write_text(text.replace("a picture of", "a small"), encoding="utf-8")
    loaded, classes = load("emoji"), emoji("unseen_artist").class_names
    return {
        name: HierarchicalClassifier(loaded.model, loaded.head, load_forest([path], leaves=classes))
        for name, path in (("kinds", TREE), ("others", other))
    }


@pytest.fixture(scope="module")
def data() -> Any:
    return emoji("unseen_artist")


INDICES = [0, 5, 200]


def rows(classifier, data, plan=PLAN, indices=INDICES, **options):
    return [r.to_row() for records in certify_images(classifier, data, indices, plan, **options) for r in records]


@pytest.fixture(scope="module")
def kept(classifiers, data, tmp_path_factory) -> tuple[FeatureStore, list]:
    store = FeatureStore(tmp_path_factory.mktemp("kept"), {}, 80)
    return store, rows(classifiers["kinds"], data, store=store)


class NoTower:
    """Stands in for the image tower and must not be asked."""

    def __call__(self, images):
        raise AssertionError("the image tower was used")


@pytest.fixture
def no_tower(classifiers, monkeypatch):
    for classifier in classifiers.values():
        monkeypatch.setattr(classifier.model, "encode_image", NoTower())


def test_the_same_prompts_give_the_same_rows_without_the_image_tower(kept, classifiers, data, no_tower):
    store, direct = kept
    assert len({row["count"] for row in direct if row["kind"] == "smoothing"}) > 3
    assert {row["kind"] for row in direct} == {"smoothing", "semantic", "profile"}
    assert json.dumps(rows(classifiers["kinds"], data, kept=store)) == json.dumps(direct)
    assert store.indices() == INDICES
    with pytest.raises(AssertionError, match="image tower"):
        rows(classifiers["kinds"], data)


def test_keeping_features_changes_no_row(kept, classifiers, data):
    assert json.dumps(rows(classifiers["kinds"], data)) == json.dumps(kept[1])


def test_other_prompts_give_the_rows_of_a_run_of_their_own(kept, classifiers, data, monkeypatch):
    direct = rows(classifiers["others"], data)
    assert [row["count"] for row in direct if row["kind"] == "smoothing"] != [
        row["count"] for row in kept[1] if row["kind"] == "smoothing"
    ]
    monkeypatch.setattr(classifiers["others"].model, "encode_image", NoTower())
    assert json.dumps(rows(classifiers["others"], data, kept=kept[0])) == json.dumps(direct)


def test_rows_say_how_many_label_functions_share_alpha_and_what_is_not_covered(kept, classifiers, data, no_tower):
    options = SamplingOptions(label_functions=3, functions_chosen="after")
    made = [row for row in rows(classifiers["others"], data, replace(PLAN, sampling=options), kept=kept[0])]
    counted = [row for row in made if row["kind"] != "semantic"]
    assert verify_rows(made) == []
    for row in counted:
        assert (row["label_functions"], row["functions_chosen"]) == (3, "after")
        assert row["alpha_share"] == 0.05 / (row["num_statements"] * 3)
        assert verify_rows([row | {"label_functions": 4}])[0].field == "alpha_share"
    sure = [record_from_row(row) for row in counted if row["reason"] is None]
    assert sure
    assert all("alpha does not cover" in r.statement or "which alpha does not cover" in r.statement for r in sure)


def test_an_interrupted_pass_is_completed(kept, classifiers, data, tmp_path):
    store = FeatureStore(tmp_path, {}, 80)
    first = rows(classifiers["kinds"], data, indices=INDICES[:1], store=store)
    done = {("smoothing", 5, "emoji_unicode", level) for level in range(3)} | {("profile", 5, "emoji_unicode")}
    more = rows(classifiers["kinds"], data, store=store, done=done | done_keys(first))
    assert store.indices() == INDICES
    assert not done_keys(more) & (done | done_keys(first))
    assert json.dumps(rows(classifiers["kinds"], data, kept=store)) == json.dumps(kept[1])


def test_features_that_lack_or_are_of_other_pictures_are_refused(kept, classifiers, data, no_tower):
    with pytest.raises(ValueError, match="at least 81 draws of each image for smoothing certificates"):
        rows(classifiers["kinds"], data, replace(PLAN, n=71, semantic=False), kept=kept[0])
    with pytest.raises(ValueError, match=r"features of image 7 in .* found none"):
        rows(classifiers["kinds"], data, replace(PLAN, semantic=False), indices=[7], kept=kept[0])
    shifted = [(image.flip(0), label) for image, label in (data[index] for index in range(6))]
    with pytest.raises(ValueError, match="another one"):
        rows(classifiers["kinds"], shifted, replace(PLAN, semantic=False), indices=[5], kept=kept[0])


def test_the_ledger_knows_what_was_chosen_after_looking(tmp_path, classifiers):
    store = FeatureStore(tmp_path, {}, 80)
    first, second = (function_of(classifiers[name]) for name in ("kinds", "others"))
    assert first != second
    ledger = Ledger(store)
    assert ledger.chosen(first, None) == "before"
    ledger.note(first, "before", 2)
    again = Ledger(store)
    assert again.chosen(first, None) == "before"
    assert again.chosen(second, None) == "after"
    assert again.chosen(second, "before") == "before"
    again.note(second, "before", 2)
    again.note(second, "before", 2)
    assert len(Ledger(store).entries) == 2
    assert not Ledger(store).overspent
    again.note("third", "after", 1)
    assert not Ledger(store).overspent
    with pytest.raises(ValueError, match="chosen after looking"):
        Ledger(store).chosen("third", "before")
    again.note("fourth", "before", 2)
    assert Ledger(store).overspent
