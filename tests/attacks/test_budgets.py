"""Attacks by the names that papers use, and several budgets in one run: each as it is alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_classifiers import QUICK, images, network

from hrvlm.attacks import ThreatModel, attack
from hrvlm.attacks.evaluation import RobustnessPlan, count_attacks, evaluate_robustness
from hrvlm.attacks.names import named_attacks
from hrvlm.attacks.records import RobustnessRecord, robustness_order
from hrvlm.attacks.row_checks import ROBUSTNESS, robustness_header
from hrvlm.attacks.summary import summarise_budgets, summarise_robustness
from hrvlm.data.folder import FolderDataset
from hrvlm.models import HierarchicalClassifier, load
from hrvlm.rows.images import by_image
from hrvlm.rows.verifying import Header, Verifier
from hrvlm.trees import load_forest

Row = dict[str, Any]
BUDGETS = [0.15, 0.02]
INDICES = [0, 3, 7, 12, 18]


@pytest.fixture(scope="module")
def made(tiny_model: Path, tree_file: Path, pictures: Path) -> dict[str, list[RobustnessRecord]]:
    """Rows of two budgets at once, and of each alone, of pictures labelled as the untrained model has them."""
    data = FolderDataset(pictures, image_size=32)
    loaded = load(tiny_model)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for parameter in loaded.model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    classifier = HierarchicalClassifier(loaded.model, loaded.head, load_forest([tree_file], leaves=data.class_names))
    with torch.no_grad():
        labelled = [
            (image, int(classifier(image[None]).argmax())) for image, _ in map(data.__getitem__, range(len(data)))
        ]
    found = {}
    for name, budgets in (("both", BUDGETS), ("0.15", None), ("0.02", [0.02])):
        plan = RobustnessPlan(
            attacks=["clean", "pgd2"], threat_model=ThreatModel(eps=0.15), budgets=budgets, batch_size=4
        )
        ticks: list[int] = []
        parts = evaluate_robustness(classifier, labelled, INDICES, plan, progress=ticks.append)
        found[name] = [record for part in parts for record in part]
        assert sum(ticks) == count_attacks(classifier, len(INDICES), plan) == len(INDICES) * 2 * len(budgets or [0])
    return found


def rows_of(records: list[RobustnessRecord]) -> list[Row]:
    return [json.loads(json.dumps(record.to_row())) for record in records]


def problems(rows: list[Row], settings: Row | None = None, *, complete: bool = True) -> set[str]:
    """Fields at fault."""
    header = Header() if settings is None else robustness_header(settings)
    verifier, (odd, groups) = Verifier(ROBUSTNESS, header, complete=complete), by_image(rows)
    found = [*verifier.odd(odd), *(problem for group in groups for problem in verifier.image(group))]
    return {problem.field for problem in [*found, *verifier.finish()]}


def test_rows_of_each_budget_are_those_of_a_run_with_it_alone(made: dict[str, list[RobustnessRecord]]) -> None:
    both, alone = rows_of(made["both"]), [*rows_of(made["0.15"]), *rows_of(made["0.02"])]
    assert sorted(both, key=robustness_order) == sorted(alone, key=robustness_order)
    assert len({record.key for record in made["both"]}) == len(both)
    assert {row["correct"] for row in both} == {True, False}
    order = [(row["index"], row["eps"], row["attack"]) for row in sorted(both, key=robustness_order)]
    assert order == sorted(order)


def test_summaries_of_budgets_are_those_of_their_rows(made: dict[str, list[RobustnessRecord]]) -> None:
    one, both = rows_of(made["0.02"]), rows_of(made["both"])
    assert summarise_budgets(one) == summarise_robustness(one)
    found = summarise_budgets(both)
    assert {name: found[name] for name in ("norm", "eps", "images")} == {
        "norm": "linf",
        "eps": [0.02, 0.15],
        "images": 5,
    }
    assert found["budgets"] == [summarise_robustness(one), summarise_robustness(rows_of(made["0.15"]))]
    assert summarise_budgets([]) == summarise_robustness([])


def test_rows_of_several_budgets_hold_and_what_is_changed_in_them_is_found(
    made: dict[str, list[RobustnessRecord]],
) -> None:
    rows, settings = rows_of(made["both"]), {"norm": "linf", "eps": BUDGETS}
    assert problems(rows) == problems(rows, settings) == set()
    other = [*rows[:-1], rows[-1] | {"eps": 0.1}]
    assert "eps" in problems(other, complete=False)
    assert "eps" in problems(rows, {"norm": "linf", "eps": [0.02, 0.1]}, complete=False)
    assert "eps" in problems(rows_of(made["0.15"]), settings, complete=False)
    assert problems(rows[:-1], settings) == {"statements"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["clean", "pgd20", "aa"], ["pgd20", "autoattack"]),
        (["apgd"], ["apgd"]),
        (["clean"], []),
    ],
)
def test_names_of_papers_are_understood(names: list[str], expected: list[str]) -> None:
    assert named_attacks(names) == expected
    assert RobustnessPlan(attacks=names).attacks == expected


@pytest.mark.parametrize("names", [[], ["clean", "clean"], ["aa", "autoattack"], ["pgd20", "pgd20"], ["clean", "pdg"]])
def test_other_names_are_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"expected at(tacks among| least one attack)"):
        named_attacks(names)


@pytest.mark.parametrize(
    ("budgets", "message"),
    [([], "expected different budgets eps, at least one"), ([0.1, 0.1], "expected different"), ([4.0], "write 4/255")],
)
def test_wrong_budgets_are_refused(budgets: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RobustnessPlan(budgets=budgets)


def test_apgd_is_the_worst_case_of_both() -> None:
    net, pixels = network(5).eval(), images()
    labels, budget = net(pixels).argmax(dim=1), ThreatModel(eps=0.01)
    alone = [attack(net, pixels, labels, budget, name, QUICK) for name in ("apgd-ce", "apgd-t")]
    found = attack(net, pixels, labels, budget, "apgd", QUICK)
    standing = [[member is None for member in outcome.broken_by] for outcome in alone]
    together = [member is None for member in found.broken_by]
    assert found.members == tuple(outcome.members[0] for outcome in alone)
    assert all(not one or first for one, first in zip(together, standing[0], strict=True))
    assert sum(together) <= min(map(sum, standing)) < len(pixels)
