"""Attacks that set levels against each other, and shares of images whose levels are right together."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from rich.console import Console

import hrvlm
from hrvlm.attacks import ThreatModel
from hrvlm.attacks.adapter import attack
from hrvlm.attacks.coherence import coherence
from hrvlm.attacks.contradiction import Aim, aim_of, attack_coherence
from hrvlm.attacks.evaluation import RobustnessPlan, count_attacks, evaluate_robustness
from hrvlm.attacks.row_checks import ROBUSTNESS
from hrvlm.attacks.summary import summarise_robustness
from hrvlm.data.items import images_and_labels
from hrvlm.models import HierarchicalClassifier, LevelKey, cosine_head, load
from hrvlm.models.decoding import Decoding
from hrvlm.reports.tables import coherence_tables, transfer_tables
from hrvlm.rows.images import by_image
from hrvlm.rows.verifying import Verifier
from hrvlm.trees import load_forest

LEAF, KIND = LevelKey(0, 0), LevelKey(0, 1)
BUDGET = ThreatModel(eps=4 / 255)
NAMES = ["leaf-kept8", "superclass-kept8"]


@pytest.fixture(scope="module")
def data() -> Any:
    return hrvlm.data.emoji("unseen_artist")


def made(data: Any, decoding: Decoding) -> HierarchicalClassifier:
    """Of the packaged model, with one tree of two levels."""
    loaded = load("emoji")
    forest = load_forest(["emoji_unicode"], leaves=data.class_names, num_levels=2)
    return HierarchicalClassifier(loaded.model, cosine_head(loaded.model), forest, decoding)


@pytest.fixture(scope="module")
def classifier(data: Any) -> HierarchicalClassifier:
    return made(data, "independent")


def right_ones(classifier: HierarchicalClassifier, data: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures whose leaf label by the classifier lies below their superclass by the classifier, and these labels."""
    images, _ = images_and_labels(data, range(0, len(data), 30))
    with torch.no_grad():
        found = classifier.predict(images)
    coherent = classifier.target(found[LEAF], KIND) == found[KIND]
    return images[coherent], found[LEAF][coherent]


@pytest.mark.parametrize("keep", ["leaf-kept", "superclass-kept"])
def test_one_level_turns_wrong_and_the_other_stays_right(
    classifier: HierarchicalClassifier, data: Any, keep: str
) -> None:
    images, labels = right_ones(classifier, data)
    assert len(images) >= 4
    outcome = attack_coherence(classifier, images, labels, KIND, BUDGET, Aim(keep, 8))
    with torch.no_grad():
        found = classifier.predict(outcome.images)
    kept, turned = (LEAF, KIND) if keep == "leaf-kept" else (KIND, LEAF)
    parted = (found[kept] == classifier.target(labels, kept)) & (found[turned] != classifier.target(labels, turned))
    assert outcome.attacked.all()
    assert [name is not None for name in outcome.broken_by] == parted.tolist()
    assert parted.any()
    assert (BUDGET.distance(outcome.images, images) <= BUDGET.eps).all()
    assert outcome.distance.isfinite().tolist() == parted.tolist()
    plain = attack(lambda x: classifier.logits(x, turned), images, classifier.target(labels, turned), BUDGET, "pgd8")
    with torch.no_grad():
        by_chance = classifier.predict(plain.images)
    chance = (by_chance[kept] == classifier.target(labels, kept)) & (
        by_chance[turned] != classifier.target(labels, turned)
    )
    assert parted.sum() >= chance.sum(), "no better than an attack on one level"


def test_images_that_are_wrong_already_are_left_alone(classifier: HierarchicalClassifier, data: Any) -> None:
    images, labels = right_ones(classifier, data)
    wrong = (labels + 1) % len(data.class_names)
    outcome = attack_coherence(classifier, images, wrong, KIND, BUDGET, Aim("leaf-kept", 3))
    assert not outcome.attacked.any()
    assert torch.equal(outcome.images, images)
    assert outcome.broken_by == [None] * len(images)


def test_a_leaf_decoded_along_a_path_never_leaves_its_superclass(data: Any) -> None:
    coherent = made(data, "leaves")
    images, labels = right_ones(coherent, data)
    assert len(images) == len(range(0, len(data), 30))
    outcome = attack_coherence(coherent, images[:8], labels[:8], KIND, BUDGET, Aim("leaf-kept", 8))
    assert outcome.broken_by == [None] * 8


def test_names_and_their_limits() -> None:
    assert aim_of("leaf-kept20") == Aim("leaf-kept", 20)
    assert aim_of("pgd20") is None
    with pytest.raises(ValueError, match="steps"):
        RobustnessPlan(attacks=["leaf-kept99999999"])
    with pytest.raises(ValueError, match='"superclass-kept20"'):
        RobustnessPlan(attacks=["leaf-kept"])
    with pytest.raises(ValueError, match="attacks two levels of a tree"):
        attack(lambda x: x.mean(dim=(2, 3)), torch.rand(1, 3, 8, 8), torch.tensor([0]), BUDGET, "leaf-kept2")


@pytest.fixture(scope="module")
def rows(classifier: HierarchicalClassifier, data: Any) -> list[dict[str, Any]]:
    images, labels = right_ones(classifier, data)
    pairs = [(image, int(label)) for image, label in zip(images, labels, strict=True)]
    plan = RobustnessPlan(attacks=["pgd3", *NAMES], threat_model=BUDGET, batch_size=3)
    ticks: list[int] = []
    made = [
        record.to_row()
        for records in evaluate_robustness(classifier, pairs, range(5), plan, progress=ticks.append)
        for record in records
    ]
    assert sum(ticks) == count_attacks(classifier, 5, plan)
    done = {record.key for records in evaluate_robustness(classifier, pairs, range(5), plan) for record in records}
    assert [*evaluate_robustness(classifier, pairs, range(5), plan, done=done)] == [[], []], "nothing is left to do"
    return [json.loads(json.dumps(row)) for row in made]


def test_rows_of_coherence_attacks_are_those_of_levels_above_the_leaves(rows: list[dict[str, Any]]) -> None:
    aims = {(row["attack"], row["attacked_level"]) for row in rows}
    assert aims == {("clean", None), ("pgd3", 0), ("pgd3", 1), (NAMES[0], 1), (NAMES[1], 1)}
    verifier, (odd, images) = Verifier(ROBUSTNESS, complete=True), by_image(rows)
    assert [*verifier.odd(odd), *(problem for image in images for problem in verifier.image(image))] == []


def test_shares_over_levels_are_counted_image_by_image(rows: list[dict[str, Any]]) -> None:
    entries = coherence(rows)
    assert (entries[0]["attack"], entries[0]["attacked_level"]) == ("clean", None)
    assert len(entries) == 5
    assert summarise_robustness(rows)["coherence"] == entries
    for entry in entries:
        mine = [r for r in rows if (r["attack"], r["attacked_level"]) == (entry["attack"], entry["attacked_level"])]
        by_index = {i: {r["level"]: r["correct"] for r in mine if r["index"] == i} for i in range(5)}
        assert entry["images"] == 5
        assert entry["hca"] == sum(one[0] and one[1] for one in by_index.values()) / 5
        assert entry["leaf_alone"] == sum(one[0] and not one[1] for one in by_index.values()) / 5
        assert entry["superclasses_alone"] == sum(one[1] and not one[0] for one in by_index.values()) / 5
        assert entry["hca"] <= entry["mta"] <= 1.0 - sum(not any(one.values()) for one in by_index.values()) / 5
    assert {entry["attack"]: entry["hca"] for entry in entries}["clean"] == 1.0


def test_without_rows_of_all_levels_nothing_is_said_of_them_together(rows: list[dict[str, Any]]) -> None:
    own = [row for row in rows if row["level"] == row["attacked_level"] or row["attack"] == "clean"]
    assert [entry["attack"] for entry in coherence(own)] == ["clean"]
    assert coherence([row for row in rows if row["level"] == 0]) == []
    assert "coherence" not in summarise_robustness([row for row in rows if row["level"] == 0])


def test_transfer_tables_have_the_attacks_on_coherence(rows: list[dict[str, Any]]) -> None:
    tables = {str(table.title).split(":")[0]: table for table in transfer_tables(rows)}
    assert set(tables) == {f"Transfer of {name}" for name in ("pgd3", *NAMES)}
    assert [tables[f"Transfer of {name}"].row_count for name in ("pgd3", *NAMES)] == [2, 1, 1]


def test_a_table_tells_of_levels_together(rows: list[dict[str, Any]]) -> None:
    (together,) = coherence_tables(rows)
    console = Console(width=200)
    with console.capture() as captured:
        console.print(together)
    text = captured.get()
    assert "HCA" in text
    assert sum(name in text for name in NAMES) == 2
