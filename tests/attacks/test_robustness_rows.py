"""Tests of the rows of robustness, their averages, and the metric over processes."""

from __future__ import annotations

import copy
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from rich.console import Console
from row_alterations import odd_values

from hrvlm.attacks import AttackSettings, ThreatModel, attack
from hrvlm.attacks.evaluation import RobustnessPlan, count_attacks, evaluate_robustness
from hrvlm.attacks.metrics import RobustAccuracy, cell_name
from hrvlm.attacks.records import RobustnessRecord, done_robustness_keys, own_level
from hrvlm.attacks.row_checks import ROBUSTNESS
from hrvlm.attacks.summary import summarise_robustness, worst_case
from hrvlm.data.folder import FolderDataset
from hrvlm.data.items import images_and_labels
from hrvlm.models import HierarchicalClassifier, load
from hrvlm.reports.tables import accuracies, robustness_table, transfer_tables
from hrvlm.rows.images import by_image
from hrvlm.rows.verifying import Verifier
from hrvlm.trees import load_forest

PLAN = RobustnessPlan(
    attacks=["pgd3", "apgd-ce"], threat_model=ThreatModel(eps=0.15), batch_size=4, settings=AttackSettings(apgd_steps=3)
)
INDICES = [0, 3, 7, 12, 18, 25]
LEVELS = [("kinds", 0), ("kinds", 1)]


@pytest.fixture(scope="module")
def data(pictures: Path) -> Any:
    return FolderDataset(pictures, image_size=32)


@pytest.fixture(scope="module")
def classifier(tiny_model: Path, tree_file: Path, data: Any) -> HierarchicalClassifier:
    """Of an untrained model whose weights are large enough for pictures to matter."""
    loaded = load(tiny_model)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for parameter in loaded.model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return HierarchicalClassifier(loaded.model, loaded.head, load_forest([tree_file], leaves=data.class_names))


@pytest.fixture(scope="module")
def relabelled(classifier: HierarchicalClassifier, data: Any) -> list[tuple[torch.Tensor, int]]:
    """The pictures with the labels that the untrained model gives them, but for a third of them."""
    images, labels = images_and_labels(data, range(len(data)))
    with torch.no_grad():
        given = classifier.predict(images)[classifier.keys[0]]
    return [
        (image, int(label if i % 3 == 0 else guess))
        for i, (image, label, guess) in enumerate(zip(images, labels, given, strict=True))
    ]


@pytest.fixture(scope="module")
def records(classifier: HierarchicalClassifier, relabelled: Any) -> list[RobustnessRecord]:
    ticks: list[int] = []
    parts = list(evaluate_robustness(classifier, relabelled, INDICES, PLAN, progress=ticks.append))
    assert sum(ticks) == count_attacks(classifier, len(INDICES), PLAN)
    return [record for part in parts for record in part]


@pytest.fixture(scope="module")
def rows(records: list[RobustnessRecord]) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(record.to_row(), allow_nan=False)) for record in records]


def test_there_is_one_row_per_image_attack_attacked_and_evaluated_level(rows: list[dict[str, Any]]) -> None:
    expected = {(i, "clean", None, level) for i in INDICES for level in LEVELS}
    expected |= {(i, a, source, to) for i in INDICES for a in PLAN.attacks for source in LEVELS for to in LEVELS}
    found = [(r["index"], r["attack"], source(r), (r["tree"], r["level"])) for r in rows]
    assert len(found) == len(set(found))
    assert set(found) == expected


def source(row: dict[str, Any]) -> tuple[str, int] | None:
    return None if row["attacked_tree"] is None else (row["attacked_tree"], row["attacked_level"])


def test_rows_say_what_the_classifiers_say(
    rows: list[dict[str, Any]], classifier: HierarchicalClassifier, relabelled: Any
) -> None:
    for start in (0, 4):
        batch = INDICES[start : start + 4]
        images, labels = images_and_labels(relabelled, batch)
        for name in PLAN.attacks:
            for attacked in classifier.keys:
                targets = classifier.target(labels, attacked)
                logits = partial(classifier.logits, key=attacked)
                outcome = attack(logits, images, targets, PLAN.threat_model, name, PLAN.settings)
                with torch.no_grad():
                    clean, found = classifier.predict(images), classifier.predict(outcome.images)
                right = clean[attacked] == targets
                for key in classifier.keys:
                    part = [
                        row for row in rows
                        if row["attack"] == name and row["attacked_level"] == attacked.level
                        and row["level"] == key.level and row["index"] in batch
                    ]  # fmt: skip
                    assert [row["prediction"] for row in part] == found[key].tolist()
                    assert [row["label"] for row in part] == classifier.target(labels, key).tolist()
                    assert [row["attacked"] for row in part] == right.tolist()
                    expected = (clean[key] == classifier.target(labels, key)).tolist()
                    assert [row["clean_correct"] for row in part] == expected
    attacked = [row for row in rows if row["attack"] != "clean"]
    assert all(row["correct"] == (row["label"] == row["prediction"]) for row in rows)
    assert {row["attacked"] for row in attacked} == {True, False}
    assert all(row["clean_correct"] or not row["correct"] for row in attacked if own_level(row))
    assert any(row["clean_correct"] and not row["correct"] for row in attacked if own_level(row))


def test_done_rows_are_not_made_again(
    records: list[RobustnessRecord], classifier: HierarchicalClassifier, relabelled: Any
) -> None:
    written = records[: len(records) // 2 + 1]
    done = done_robustness_keys(record.to_row() for record in written)
    again = evaluate_robustness(classifier, relabelled, INDICES, PLAN, done=done)
    assert [record for part in again for record in part] == records[len(written) :]


def test_without_transfer_only_the_attacked_level_is_judged(
    rows: list[dict[str, Any]], classifier: HierarchicalClassifier, relabelled: Any
) -> None:
    plan = RobustnessPlan(attacks=["pgd3"], threat_model=PLAN.threat_model, batch_size=4, transfer=False)
    found = [record.to_row() for part in evaluate_robustness(classifier, relabelled, INDICES, plan) for record in part]
    assert found == [row for row in rows if row["attack"] in ("clean", "pgd3") and own_level(row)]
    assert transfer_tables(found) == []


def test_averages_are_those_of_the_rows(rows: list[dict[str, Any]]) -> None:
    summary = summarise_robustness(rows)
    assert summary["images"] == len(INDICES)
    assert [(entry["tree"], entry["level"]) for entry in summary["levels"]] == LEVELS
    for entry in summary["levels"]:
        mine = [row for row in rows if row["level"] == entry["level"]]
        clean = [row["correct"] for row in mine if row["attack"] == "clean"]
        assert entry["clean"] == sum(clean) / len(INDICES)
        for name, numbers in entry["attacks"].items():
            own = [row for row in mine if row["attack"] == name and row["attacked_level"] == entry["level"]]
            assert numbers["accuracy"] == sum(row["correct"] for row in own) / len(INDICES)
            assert numbers["attacked"] == sum(clean)
            assert numbers["broken"] == sum(clean) - sum(row["correct"] for row in own)
            standing = [all(row["correct"] for row in mine if own_level(row) and row["index"] == i) for i in INDICES]
            assert entry["worst"] == {"attacks": sorted(PLAN.attacks), "accuracy": sum(standing) / len(INDICES)}
            column = accuracies(rows)["kinds", entry["level"], entry["level_name"], entry["num_classes"]]
            assert column[None, name] == numbers["accuracy"]
    for name, pairs in summary["transfer"].items():
        assert len(pairs) == 4
        for pair in pairs:
            part = [
                row for row in rows
                if (row["attack"], row["attacked_level"], row["level"]) == (name, pair["attacked_level"], pair["level"])
            ]  # fmt: skip
            assert pair["accuracy"] == sum(row["correct"] for row in part) / len(INDICES)
            both = [row["correct"] for row in part if row["attacked"] and row["clean_correct"]]
            assert (pair["both"], pair["flipped"]) == (len(both), both.count(False))
    assert len(transfer_tables(rows)) == 2
    console = Console(width=200)
    with console.capture() as captured:
        console.print(*transfer_tables(rows))
    assert f"{100 * summary['transfer']['pgd3'][1]['accuracy']:.1f} (" in captured.get()


def test_tables_say_which_attacks_were_run_and_show_the_worst_case() -> None:
    """Two attacks that break different images: each leaves half of them standing, together they leave none."""
    base = {"stage": None, "tree": "t", "level": 0, "level_name": "leaf", "num_classes": 2, "prediction": 0}
    attacked = {"attacked_tree": "t", "attacked_level": 0}
    made = [
        {**base, **attacked, "index": i, "attack": name, "correct": right}
        for name, rights in (("pgd20", (True, False)), ("apgd-t", (False, True))) for i, right in enumerate(rights)
    ]  # fmt: skip
    made += [{**base, "index": i, "attack": "clean", "correct": True} for i in (0, 1)]
    shown = {}
    for name, part in (("both", made), ("pgd", [row for row in made if row["attack"] != "apgd-t"])):
        console = Console(width=150)
        with console.capture() as captured:
            console.print(robustness_table(part, title="x"))
        shown[name] = captured.get()
    assert worst_case(made) == 0.0
    cells = next(line for line in shown["both"].splitlines() if "leaf" in line).split()
    assert [cell for cell in cells if "." in cell] == ["100.0", "50.0", "50.0", "0.0"]  # clean, apgd-t, pgd20, worst
    said = {name: " ".join(text.split()) for name, text in shown.items()}
    assert "Attacks: apgd-t, pgd20; worst case: images right under all of them." in said["both"]
    assert "worst" not in shown["pgd"]
    assert "Attacks: pgd20. Upper bounds of robustness; stronger attacks (autoattack, apgd-t) may break" in said["pgd"]


def test_rows_of_two_runs_are_not_averaged_together(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="some twice"):
        summarise_robustness([*rows, rows[0]])
    with pytest.raises(ValueError, match="one stage"):
        summarise_robustness([*rows, {**rows[0], "eps": 0.1}])


def metric_of(records: list[RobustnessRecord]) -> RobustAccuracy:
    metric = RobustAccuracy(PLAN.attacks, LEVELS)
    metric.update([])
    for start in range(0, len(records), 5):
        metric.update(records[start : start + 5])
    return metric


def shares(records: list[RobustnessRecord]) -> dict[str, float]:
    cells: dict[str, list[bool]] = {}
    for record in records:
        row = record.to_row()
        cell = (row["attack"], source(row), (row["tree"], row["level"]))
        cells.setdefault(cell_name(cell), []).append(row["correct"])
    return {name: sum(values) / len(values) for name, values in cells.items()}


def test_the_metric_is_the_average_of_the_rows(records: list[RobustnessRecord]) -> None:
    found = {name: float(share) for name, share in metric_of(records).compute().items()}
    assert found == pytest.approx(shares(records))
    assert "pgd3/kinds/0/on/kinds/1" in found
    assert all(reduction is torch.sum or "sum" in str(reduction) for reduction in metric_of([])._reductions.values())


def _share(rank: int, parts: list[list[RobustnessRecord]], folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=len(parts))
    computed = {name: float(share) for name, share in metric_of(parts[rank]).compute().items()}
    Path(folder, f"{rank}.json").write_text(json.dumps(computed))
    dist.destroy_process_group()


@pytest.mark.parametrize("held", [5, 0])
def test_processes_with_unequal_shares_agree_on_the_average(
    held: int, records: list[RobustnessRecord], tmp_path: Path
) -> None:
    by_image = [record for record in sorted(records, key=lambda record: record.index)]
    cut = len(by_image) * held // len(INDICES)
    parts = [by_image[:cut], by_image[cut:]]
    torch.multiprocessing.start_processes(
        _share, args=(copy.deepcopy(parts), str(tmp_path)), nprocs=2, start_method="fork"
    )  # fmt: skip
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == pytest.approx(shares(records))


def test_rows_of_another_kind_are_refused(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="kind 'robustness'"):
        done_robustness_keys([{**rows[0], "schema": 2}])


def test_images_without_finite_scores_are_never_right(
    classifier: HierarchicalClassifier, relabelled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Image 1 of a batch has none as it is; image 2 once it is changed."""
    batch, encode = images_and_labels(relabelled, INDICES[:4])[0], classifier.model.encode_image

    def failing(images: torch.Tensor) -> torch.Tensor:
        which = torch.cdist(images.flatten(1), batch.flatten(1)).argmin(dim=1)
        changed = (images != batch[which]).flatten(1).any(dim=1)
        return torch.where(((which == 1) | ((which == 2) & changed))[:, None], torch.nan, encode(images))

    with torch.no_grad():
        labels = classifier.predict(batch)[classifier.keys[0]]
    data = [(image, int(label)) for image, label in zip(batch, labels, strict=True)]
    monkeypatch.setattr(classifier.model, "encode_image", failing)
    plan = RobustnessPlan(attacks=["pgd3"], threat_model=ThreatModel(eps=0.001), batch_size=4)
    found = [record for part in evaluate_robustness(classifier, data, range(4), plan) for record in part]
    for record in found:
        lost = record.index == 1 or (record.index == 2 and record.attack != "clean")
        assert (record.prediction == -1) == lost
        assert record.clean_correct == (record.index != 1)
        if lost:
            assert not record.correct
            assert record.attacked == (record.attack != "clean" and record.index == 2)
            assert record.broken_by == ("pgd x3" if record.index == 2 else None)
    assert summarise_robustness(record.to_row() for record in found)["invalid"] == 2


def test_altered_rows_are_found(records: list[RobustnessRecord]) -> None:
    rows = json.loads(json.dumps([record.to_row() for record in records]))

    def verify(some: list[dict[str, Any]]) -> list[Any]:
        verifier, (odd, images) = Verifier(ROBUSTNESS, complete=True), by_image(some)
        found = [*verifier.odd(odd), *(problem for image in images for problem in verifier.image(image))]
        return [*found, *verifier.finish()]

    assert verify(rows) == []
    places = [0, *(next(i for i, r in enumerate(rows) if r["attack"] == name) for name in PLAN.attacks), len(rows) - 1]
    missed = set()
    for place in places:
        # What two images tell of an altered row more of them tell as well.
        two = (rows[place]["index"], next(index for index in INDICES if index != rows[place]["index"]))
        rest = [row for number, row in enumerate(rows) if row["index"] in two and number != place]
        assert verify([*rest, rows[place]]) == []
        for name, value in odd_values(rows[place]):
            if not verify([*rest, rows[place] | {name: value}]):
                missed.add((name, repr(value)))
    assert missed == set()
    for change in ({"eps": 0.2}, {"norm": "l2"}, {"tree": "other"}, {"index": 26}, {"correct": not rows[0]["correct"]}):
        assert verify([rows[0] | change, *rows[1:]]), change
    assert verify(rows[1:])
