"""A word where the budget of a callback differs from that of training."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.callbacks.common import tell_other_budget
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
            "RobustnessCallback attacks with eps 5.1/255, training defends against 2.55/255: ",
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
        tell_other_budget(given, module(tiny_model, tree_file, trained, steps), "RobustnessCallback")
    assert told in caplog.text
    assert bool(told) == ("attacks with eps" in caplog.text)
    assert bool(told) == ("defends against" in caplog.text)
