"""The measured violation rates of calibrated semantic certificates, in the result file of their benchmark."""

from __future__ import annotations

import json
from argparse import Namespace
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import torch
from semantic_problems import random_problem

import hrvlm
from hrvlm.certificates.kinds.semantic.calibrated_extent import ThresholdScale
from hrvlm.certificates.kinds.semantic.calibration_losses import THRESHOLDS, ShownChange
from hrvlm.certificates.kinds.semantic.speed import PathSpeed
from hrvlm.data import Appearance
from hrvlm.data.appearance import sequence
from hrvlm.data.emoji_pack.captions import BACKGROUNDS
from hrvlm.models import HierarchicalClassifier, cosine_head, inferring

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks" / "results" / "semantic_calibration.json"


def test_measured_rates_keep_what_calibration_promises() -> None:
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    assert result["setting"]["splits"] >= 2000
    changes = [(name, claims) for model in result["models"].values() for name, claims in model["changes"].items()]
    assert len(changes) == 13 * len(result["models"])
    excess = []
    for name, claims in changes:
        assert len(claims) == 6  # three levels, two scorers
        assert claims[0]["raw_violated"] > 0.15, name  # leaves, without calibration
        for claim in claims:
            for epsilon in ("0.05", "0.1", "0.2"):
                found = claim[epsilon]
                excess.append((found["violated"] - float(epsilon)) / found["standard_error"])
                assert found["confident_failures"] <= 1 - result["setting"]["confidence"], (name, claim["claim"])
                assert found["share"] > 0, (name, claim["claim"])
                if claim["raw_violated"] > float(epsilon):  # else the raw claim may stand
                    assert found["share"] < claim["raw_share"], (name, claim["claim"])
    # Of claims whose rate is epsilon exactly, one in 44 is measured two errors above, and one in 30,000 four.
    assert sum(errors > 2 for errors in excess) <= len(excess) / 44
    assert max(excess) < 4


def test_documented_extremes_are_those_of_the_result() -> None:
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    changes = result["models"]["packaged"]["changes"]
    rates = {name: claims[0]["raw_violated"] for name, claims in changes.items()}
    shown = [f"semantic_calibration.json: models / packaged / changes / {name} / 0 / raw_violated" for name in rates]
    text = (ROOT / "docs" / "semantic.md").read_text(encoding="utf-8")
    quoted = [key.split(" / ")[3] for key in shown if f"<!-- = {key} -->" in text]
    assert set(quoted) == {min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)}


def test_a_line_that_was_cut_off_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from semantic_calibration import PARTITIONS, measured_lines

    rows = tmp_path / f"rows_60_50_{PARTITIONS}_1.jsonl"
    rows.write_text('{"model": "packaged", "change": null}\n{"model": "pack')
    given = Namespace(folder=tmp_path, images=60, splits=50, epochs=1, batches=1, models=[])
    assert measured_lines(given) == [{"model": "packaged", "change": None}]
    assert rows.read_text() == '{"model": "packaged", "change": null}\n'


def test_where_no_threshold_is_valid_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from semantic_calibration import measure

    problem = random_problem("cosine", 6, 5, 30, seed=1)
    features, *prompts = problem.arguments
    labels, shares = problem.scorer.predict(features)[:, None] + 1, torch.full((30, 1), 0.5, dtype=torch.float64)
    shown = ShownChange.of(
        problem.scorer, features, (prompts[0], prompts[1]), (features[:, None], shares), labels=labels
    )
    few = np.zeros(30, dtype=np.int64)  # no picture contradicts, but of 24 images no rate of .001 can be told
    always = np.full(30, len(THRESHOLDS))  # pictures contradict at any threshold
    for critical, epsilon in ((few, 0.001), (always, 0.2)):
        found = measure(critical, shown, (ThresholdScale(), PathSpeed()), epsilon, splits=20, seed=0)
        assert found["share"] == found["confident_failures"] == found["rates"].max() == 0
    assert measure(few, shown, (ThresholdScale(), PathSpeed()), 0.2, splits=20, seed=0)["share"] > 0


def test_the_picture_that_is_told_of_has_these_labels() -> None:
    model, data = hrvlm.load_model("emoji"), hrvlm.data.emoji("unseen_artist")
    classifier = HierarchicalClassifier(
        model, cosine_head(model), hrvlm.load_forest([str(ROOT / "trees" / "emoji_unicode.yaml")])
    )
    shown = sequence(Appearance(), Appearance(background=BACKGROUNDS["blue"]), 9)
    dog = next(i for i, (label, _) in enumerate(data.items) if data.class_names[label] == "dog")
    leaves = classifier.keys[0]
    with inferring(classifier):
        labels = classifier.predict(data.shown(dog, shown))[leaves].tolist()
    names = [classifier.forest[0].levels[0].names[label] for label in labels]
    assert [name for name, _ in groupby(names)] == ["two-hump camel", "deer"]
    assert names.index("deer") == 7
    told = "The model takes the dog for a camel, and from the seventh step on for a deer."
    assert told in (ROOT / "docs" / "semantic.md").read_text(encoding="utf-8")
