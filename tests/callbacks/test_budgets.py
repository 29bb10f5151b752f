"""The budget of callbacks: their own, or that of training; and a word where the two differ."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.callbacks import GeometryCallback, RobustnessCallback
from hrvlm.callbacks.common import budget
from hrvlm.objectives import HierarchicalObjective
from hrvlm.training.fine_tuning import RobustFineTuning


def module(tiny_model: Path, tree_file: Path, trained: ThreatModel, steps: int = 1) -> RobustFineTuning:
    objective = HierarchicalObjective(threat_model=trained, ascent=Ascent(steps=steps))
    return RobustFineTuning(objective=objective, trees=[str(tree_file)], model=str(tiny_model))


@pytest.mark.parametrize(
    ("trained", "steps", "told"),
    [
        (
            ThreatModel(eps=0.01),
            1,
            "attacks with another eps than training defends against, 5.1/255 and 2.55/255",
        ),
        (ThreatModel(eps=0.02), 1, ""),
        (ThreatModel(eps=0.01), 0, ""),
        (ThreatModel(norm="l2", eps=0.5), 1, ""),
    ],
)
def test_another_eps_of_the_same_norm_is_told(
    trained: ThreatModel, steps: int, told: str, tiny_model: Path, tree_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = ThreatModel(eps=0.02)
    with caplog.at_level(logging.INFO):
        assert budget(given, module(tiny_model, tree_file, trained, steps), "RobustnessCallback") == given
    assert told in caplog.text
    assert bool(told) == ("another eps" in caplog.text)


def test_null_is_the_budget_of_training(tiny_model: Path, tree_file: Path) -> None:
    trained = ThreatModel(eps=0.03)
    assert budget(None, module(tiny_model, tree_file, trained), "RobustnessCallback") == trained
    for kind in (RobustnessCallback, GeometryCallback):
        assert kind(threat_model=None).threat_model == ThreatModel()  # until it is known what is trained
