"""The budget of callbacks: that of training, or one of their own, with a word where the two differ."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.callbacks import GeometryCallback, RobustnessCallback, RobustValidationCallback, ZeroShotCallback
from hrvlm.callbacks.attacking import budget
from hrvlm.data.zero_shot import ChosenSets
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
        found = budget(given, module(tiny_model, tree_file, trained, steps), "RobustnessCallback")
    assert found is given
    assert told in caplog.text
    assert bool(told) == ("attacks with eps" in caplog.text)
    assert bool(told) == ("defends against" in caplog.text)


def attacking(given: dict[str, Any]) -> list[Any]:
    return [
        RobustnessCallback(**given),
        RobustValidationCallback(**given),
        GeometryCallback(**given),
        ZeroShotCallback(data=ChosenSets(root="nowhere", sets=["cifar10"]), **given),
    ]


def budgets_of(callback: Any) -> list[ThreatModel]:
    """What the callback's attacks go by, which it tells as its threat model."""
    if isinstance(callback, ZeroShotCallback):
        assert list(callback.effort.threat_models) == [callback.threat_model]
    elif not isinstance(callback, GeometryCallback):
        assert callback.plan.threat_models == [callback.threat_model]
    return [callback.threat_model]


@pytest.mark.parametrize(
    ("trained", "given", "expected"),
    [
        (ThreatModel("l2", 0.4), {}, ThreatModel("l2", 0.4)),
        (ThreatModel("l2", 0.4), {"threat_model": ThreatModel(eps=0.02)}, ThreatModel(eps=0.02)),
        (ThreatModel(eps=0.0), {}, ThreatModel()),  # training without a perturbation has no budget to take
    ],
    ids=["training's", "own", "none to take"],
)
def test_the_budget_of_training_is_that_of_callbacks_without_their_own(
    trained: ThreatModel, given: dict[str, Any], expected: ThreatModel, tiny_model: Path, tree_file: Path
) -> None:
    trained_module, callbacks = module(tiny_model, tree_file, trained), attacking(given)
    trainer = Trainer(callbacks=list(callbacks), logger=False, enable_checkpointing=False, accelerator="cpu")
    for callback in callbacks:
        key = callback.state_key
        callback.setup(trainer, trained_module, "validate")
        assert callback.state_key == key  # a checkpoint's state is found whatever the budget
        assert budgets_of(callback) == [expected], type(callback).__name__


def test_a_budget_of_its_own_may_be_given_as_a_mapping_and_by_its_old_name() -> None:
    assert GeometryCallback(threat_model={"eps": 0.02}).threat_model == ThreatModel(eps=0.02)  # type: ignore[arg-type]
    with pytest.warns(FutureWarning, match=r"eps is now threat_model\.eps"):
        assert RobustnessCallback(eps=0.02).threat_model == ThreatModel(eps=0.02)  # type: ignore[call-arg]
