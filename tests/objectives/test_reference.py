"""The frozen reference: where it must not appear, what it follows, and which weights a resumed run holds."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hrvlm.models import load
from hrvlm.objectives import FAREObjective, Objective, PMGAFTObjective
from hrvlm.objectives.reference import ReferencedObjective

KINDS = [FAREObjective, PMGAFTObjective]


def ready(objective: ReferencedObjective, model, forest) -> ReferencedObjective:
    objective.bind(forest)
    objective.prepare(model)
    return objective


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_is_in_no_parameters_checkpoints_or_buffers(kind: type[Any], model, forest) -> None:
    objective = ready(kind(), model, forest)
    assert {name for name, _ in objective.named_parameters()} == {"head.log_logit_scale"}
    assert {name for name, _ in objective.named_buffers()} == {"text_hidden", "reference_digest", "head.initialised"}
    assert objective.state_dict().keys() == {"reference_digest", "head.log_logit_scale", "head.initialised"}
    assert {name for name, _ in objective.named_modules()} == {"", "head"}


def test_training_neither_moves_the_reference_nor_its_mode(model, forest, batch, drift: Callable) -> None:
    images, labels = batch
    model.train()  # as a run has it when it prepares
    before = copy.deepcopy(model.state_dict())
    objective = ready(FAREObjective(), model, forest)
    expected = copy.deepcopy(model).eval().encode_image(images).detach()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.image[1].training
    objective.train()
    drift(model)
    for _ in range(2):
        objective.loss(model, objective.perturb(model, images, labels), images, labels)[0].backward()
    assert torch.equal(objective.reference_features(images), expected)
    assert not objective.reference_features(images).requires_grad
    assert not torch.equal(model.image[1].running_mean, before["image.1.running_mean"])  # the model's own do move
    objective.prepare(model)  # a second fit of the same module
    assert torch.equal(objective.reference_features(images), expected)


def test_the_reference_moves_with_the_objective(model, forest, batch) -> None:
    objective = ready(PMGAFTObjective(), model, forest)
    outer = torch.nn.ModuleList([objective])
    outer.double()
    assert objective.reference_features(batch[0].double()).dtype == torch.float64
    twin = copy.deepcopy(objective)
    twin.to("meta")
    assert {tensor.device.type for tensor in twin._reference[0].state_dict().values()} == {"meta"}
    assert {tensor.device.type for tensor in objective._reference[0].state_dict().values()} == {"cpu"}


def test_use_before_prepare_is_refused(model, forest, batch) -> None:
    objective = FAREObjective()
    objective.bind(forest)
    with pytest.raises(RuntimeError, match=r"expected FAREObjective.prepare\(model\) before use"):
        objective.perturb(model, *batch)


@pytest.mark.parametrize("prepared_first", [True, False])
def test_a_checkpoint_trained_beside_another_reference_is_refused(
    prepared_first: bool, model, make_model: Callable, forest, batch
) -> None:
    file = io.BytesIO()
    torch.save(ready(FAREObjective(), model, forest).state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)

    def resumed(start: Any) -> Objective:
        objective = FAREObjective()
        objective.bind(forest)
        steps = [lambda: objective.prepare(start), lambda: objective.load_state_dict(state)]
        for step in steps if prepared_first else steps[::-1]:
            step()
        return objective

    torch.manual_seed(1)
    with pytest.raises(ValueError, match="expected the model that the checkpoint's run started from"):
        resumed(make_model())
    again = resumed(model)
    assert torch.equal(again.reference_features(batch[0]), model.encode_image(batch[0]).detach())


def weights(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "FAREObjective",
        "PMGAFTObjective",
        "GuidedHierarchicalObjective",
        "AGFTObjective",
        "SubspaceAlignmentObjective",
    ],
)
def test_a_resumed_run_holds_on_to_the_original_weights(
    kind: str, make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path, tiny_model: Path
) -> None:
    """With the checkpoint's weights as reference the second epoch would end elsewhere."""
    chosen = make_settings(tmp_path)
    chosen["trainer"]["callbacks"] = chosen["trainer"]["callbacks"][2:3]
    arguments = {"threat_model": {"eps": 0.05}, "ascent": {"step_size": 0.05, "steps": 1}}
    chosen["model"]["init_args"]["objective"] = {"class_path": f"hrvlm.objectives.{kind}", "init_args": arguments}
    chosen["model"]["init_args"]["optimizer"]["learning_rate"] = 0.01
    first = run_train(tmp_path, chosen) / "checkpoints"
    second = run_train(tmp_path, chosen, "--ckpt_path", str(first / "0.ckpt")) / "checkpoints"
    assert second != first
    states = weights(first / "1.ckpt"), weights(second / "1.ckpt")
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert not any("_reference" in name or name.startswith("objective.model") for name in states[0])
    start = load(tiny_model).model.state_dict()
    changed = {name for name, value in start.items() if not torch.equal(states[0][f"model.{name}"], value)}
    trained = ("clip.visual.", "clip.text_projection") if "Guided" in kind else ("clip.visual.",)
    assert changed
    assert all(name.startswith(trained) for name in changed)  # texts are fixed before their projection, or wholly
    assert load(first / "1.ckpt").head.initialised
