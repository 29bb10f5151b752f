"""The interface of all objectives: traces left by the perturbation, strategies, start values, checkpoints, errors."""

from __future__ import annotations

import copy
import inspect
import io
from dataclasses import asdict

import jsonargparse
import pytest
import torch
import torch.nn.functional as F
from short_settings import made
from sweeps import sweep

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.models.heads import CosineHead, PoincareHead
from hrvlm.objectives import (
    Adversarial,
    AGFTObjective,
    CleanObjective,
    FAREObjective,
    GuidedHierarchicalObjective,
    HierarchicalObjective,
    ImageTextContrastiveObjective,
    Objective,
    Perturbed,
    PMGAFTObjective,
    SmoothAdvObjective,
    SubspaceAlignmentObjective,
    TeCoAObjective,
)
from hrvlm.objectives.groups import group_batch, group_points

EPS = 8 / 255
OBJECTIVES = {
    "poincare": lambda **k: made(HierarchicalObjective, **({"eps": EPS, "step_size": EPS / 2} | k)),
    "cosine": lambda **k: OBJECTIVES["poincare"](**({"head": "cosine", "lambda_order": 0.0} | k)),
    "guided": lambda: GuidedHierarchicalObjective(
        threat_model=ThreatModel(eps=EPS), ascent=Ascent(step_size=EPS / 2)
    ),
    "tecoa": lambda **k: made(TeCoAObjective, **({"eps": EPS, "step_size": EPS / 2} | k)),
    "smooth_adv": lambda **k: made(SmoothAdvObjective, **({"eps": EPS, "step_size": EPS / 2} | k)),
    "pmg_aft": lambda **k: made(PMGAFTObjective, **({"eps": EPS, "step_size": EPS / 2} | k)),
    "fare": lambda **k: made(FAREObjective, **({"eps": EPS, "step_size": EPS / 2} | k)),
    "agft": lambda: AGFTObjective(threat_model=ThreatModel(eps=EPS), ascent=Ascent(step_size=EPS / 2)),
    "subspaces": lambda: SubspaceAlignmentObjective(
        threat_model=ThreatModel(eps=EPS), ascent=Ascent(step_size=EPS / 2)
    ),
}  # fmt: skip


def ready(objective: Objective, model, forest, images: torch.Tensor) -> Objective:
    objective.bind(forest)
    objective.prepare(model, images)
    return objective


@pytest.mark.parametrize("name", OBJECTIVES)
def test_perturb_leaves_gradients_flags_and_modes_alone(name: str, model, forest, batch) -> None:
    images, labels = batch
    objective = ready(OBJECTIVES[name](), model, forest, images)
    model.train()
    model.image[1].eval()
    model.image[0].bias.requires_grad_(False)
    parameters = dict([*model.named_parameters(), *objective.named_parameters()])
    model.image[7].weight.grad = torch.ones_like(model.image[7].weight)
    grads = {key: None if p.grad is None else p.grad.clone() for key, p in parameters.items()}
    flags = {key: p.requires_grad for key, p in parameters.items()}
    modes = [module.training for module in (*model.modules(), *objective.modules())]
    with torch.no_grad():
        adversarial = objective.perturb(model, images, labels, torch.Generator().manual_seed(0))
    for key, parameter in parameters.items():
        assert (parameter.grad is None) == (grads[key] is None), key
        assert parameter.grad is None or torch.equal(parameter.grad, grads[key]), key
    assert {key: p.requires_grad for key, p in parameters.items()} == flags
    assert [module.training for module in (*model.modules(), *objective.modules())] == modes
    ThreatModel("linf", EPS).check(adversarial.images, images)
    assert not torch.equal(adversarial.images, images)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_parameter_needs_a_gradient_while_the_perturbation_is_found(name: str, model, forest, batch) -> None:
    images, labels = batch
    objective = ready(OBJECTIVES[name](), model, forest, images)
    seen: list[bool] = []
    parameters = [*model.parameters(), *objective.parameters()]
    model.image.register_forward_hook(lambda *_: seen.append(any(p.requires_grad for p in parameters)))
    objective.perturb(model, images, labels)
    passes = 9 if name == "subspaces" else 3  # it looks at three views in every step
    assert seen == [False] * passes


def level_losses(objective: HierarchicalObjective, model, part: Perturbed, images, labels) -> list[float]:
    _, logs = objective.loss(model, Adversarial((Perturbed(part.images, part.text_delta),)), images, labels)
    return [float(logs[f"hita_level_{level}"]) for level in range(3)]


@pytest.mark.parametrize("name", ["poincare", "cosine"])
def test_universal_perturbation_raises_the_loss_of_every_level(name: str, make_model, forest) -> None:
    rises = []
    for seed in range(4):
        torch.manual_seed(seed)
        model = make_model()
        images, labels = torch.rand(12, 3, 12, 12), torch.randint(0, 6, (12,))
        objective = ready(OBJECTIVES[name](), model, forest, images)
        clean = level_losses(objective, model, Perturbed(images), images, labels)
        found = objective.perturb(model, images, labels).parts[0]
        rises.append(
            [
                after - before
                for after, before in zip(level_losses(objective, model, found, images, labels), clean, strict=True)
            ]
        )
    assert (torch.tensor(rises).mean(0) > 0.01).all(), rises


def test_each_strategy_attacks_what_it_says(make_model, forest) -> None:
    """Averaged over models: attacking one level hurts that level at least as much as attacking another, or all."""
    hurt = torch.zeros(4, 3)
    for seed in range(4):
        torch.manual_seed(seed)
        model = make_model()
        images, labels = torch.rand(12, 3, 12, 12), torch.randint(0, 6, (12,))
        for strategy in ("leaf", "universal", "per_level"):
            objective = ready(OBJECTIVES["poincare"](strategy=strategy, steps=10, eps_text=0.0), model, forest, images)
            parts = objective.perturb(model, images, labels).parts
            losses = [level_losses(objective, model, part, images, labels) for part in parts]
            if strategy == "per_level":
                assert [part.level for part in parts] == [0, 1, 2]
                hurt[1] += torch.tensor([losses[level][level] for level in range(3)])
                hurt[2] += torch.tensor(losses[0])
            else:
                assert [part.level for part in parts] == [None]
                hurt[3 if strategy == "universal" else 0] += torch.tensor(losses[0])
    leaf, own, leaf_part, universal = hurt
    torch.testing.assert_close(leaf, leaf_part)  # the leaf strategy is the first part of the per-level one
    assert own[1] > leaf[1]
    assert own[2] > leaf[2]
    assert own[0] >= universal[0] - 0.05
    weights = torch.tensor([2.0, 2 / 3 + 0.5, 1 / 3])  # of the levels, summed over both trees
    assert weights @ universal > weights @ leaf


def test_losses_of_single_levels_add_up_to_the_loss_of_all(model, forest, batch) -> None:
    images, labels = batch
    objective = ready(OBJECTIVES["poincare"](steps=0), model, forest, images)
    whole, whole_logs = objective.loss(model, Adversarial((Perturbed(images),)), images, labels)
    parts = Adversarial(tuple(Perturbed(images, None, level) for level in range(3)))
    total, logs = objective.loss(model, parts, images, labels)
    torch.testing.assert_close(total, whole)
    assert logs.keys() == whole_logs.keys()
    for key, value in logs.items():
        torch.testing.assert_close(value, whole_logs[key])


def test_text_perturbation_is_within_its_budget_and_raises_the_loss(model, forest, batch) -> None:
    images, labels = batch
    objective = ready(OBJECTIVES["poincare"](eps_text=0.05), model, forest, images)
    part = objective.perturb(model, images, labels).parts[0]
    assert part.text_delta is not None
    assert part.text_delta.shape == (len(objective.prompts()), 8)
    assert float(part.text_delta.abs().max()) == pytest.approx(0.05)
    with_text, _ = objective.loss(model, Adversarial((part,)), images, labels)
    without, _ = objective.loss(model, Adversarial((Perturbed(part.images),)), images, labels)
    assert with_text > without
    off = ready(OBJECTIVES["poincare"](eps_text=0.0), model, forest, images)
    assert off.perturb(model, images, labels).parts[0].text_delta is None


def test_cosine_objective_is_the_weighted_cross_entropy_of_cosines(model, forest, batch) -> None:
    images, labels = batch
    objective = ready(OBJECTIVES["cosine"](lambda_vicinity=0.3, zeta_vicinity=0.2, steps=0), model, forest, images)
    assert isinstance(objective, HierarchicalObjective)
    got, _ = objective.loss(model, Adversarial((Perturbed(images),)), images, labels)
    points = F.normalize(model.encode_image(images), dim=-1)
    texts = F.normalize(model.project_text(model.text_hidden(objective.prompts())), dim=-1)
    expected = torch.zeros(())
    for table in objective.tables:
        groups = group_batch(table, labels)  # tested on their own
        rows = group_points(objective.head, points, groups)
        own = texts[table.columns]
        for level in range(table.num_levels):
            losses = []
            for row in (groups.row_level == level).nonzero()[:, 0].tolist():
                target = int(groups.targets[row])
                rivals = table.candidates[target].nonzero()[:, 0].tolist()
                scores = model.logit_scale * torch.stack([rows[row] @ own[rival] for rival in rivals])
                losses.append(-scores.log_softmax(0)[rivals.index(target)])
            expected = expected + (1 - level / table.num_levels) * torch.stack(losses).mean()
        expected = expected + 0.3 * (0.8 - (points * texts[labels]).sum(-1)).clamp_min(0).mean()
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_tecoa_is_cross_entropy_against_fixed_texts(model, forest, batch) -> None:
    images, labels = batch
    objective = ready(OBJECTIVES["tecoa"](), model, forest, images)
    assert not objective.trains_text
    assert not any(parameter.requires_grad for parameter in objective.parameters())
    adversarial = objective.perturb(model, images, labels)
    assert isinstance(objective.head, CosineHead)
    texts = F.normalize(model.project_text(model.text_hidden(forest[0].prompts(0))), dim=-1)

    def expected(pixels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(model.logit_scale * F.normalize(model.encode_image(pixels), dim=-1) @ texts.T, labels)

    loss, logs = objective.loss(model, adversarial, images, labels)
    torch.testing.assert_close(loss, expected(adversarial.images))
    assert loss > expected(images) + 0.01
    loss.backward()
    assert model.text_projection.weight.grad is None
    assert all(parameter.grad is not None for parameter in model.image.parameters())
    assert logs.keys() == {"loss", "adversarial_accuracy"}
    clean = ready(CleanObjective(), model, forest, images)
    unchanged = clean.perturb(model, images, labels, torch.Generator())
    assert torch.equal(unchanged.images, images)
    torch.testing.assert_close(clean.loss(model, unchanged, images, labels)[0], expected(images))


@pytest.mark.parametrize("name", sweep(OBJECTIVES, quick=("poincare", "tecoa")))
def test_a_few_steps_of_training_lower_the_loss(name: str, model, forest, batch) -> None:
    images, labels = batch
    objective = ready(OBJECTIVES[name](), model, forest, images)
    parameters = [*model.parameters(), *(p for p in objective.parameters() if p.requires_grad)]
    optimizer = torch.optim.Adam(parameters, lr=5e-3)
    losses = []
    for _ in range(25):
        adversarial = objective.perturb(model, images, labels, torch.Generator().manual_seed(1))
        loss, _ = objective.loss(model, adversarial, images, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_perturb_is_a_function_of_the_generator(model, forest, batch) -> None:
    images, labels = batch
    objective = ready(OBJECTIVES["poincare"](), model, forest, images)
    runs = [objective.perturb(model, images, labels, torch.Generator().manual_seed(seed)).images for seed in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    fixed = ready(OBJECTIVES["poincare"](random_start=False), model, forest, images)
    runs = [fixed.perturb(model, images, labels, torch.Generator().manual_seed(seed)).images for seed in (1, 2)]
    assert torch.equal(*runs)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_checkpoint_restores_the_head_and_prepare_keeps_it(name: str, model, forest, batch) -> None:
    images, labels = batch
    source = ready(OBJECTIVES[name](), model, forest, images)
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(0.2)
    file = io.BytesIO()
    torch.save(source.state_dict(), file)
    assert not any("text_hidden" in key or "tables" in key for key in source.state_dict())
    file.seek(0)
    target = OBJECTIVES[name]()
    target.bind(forest)
    target.load_state_dict(torch.load(file, weights_only=True))
    target.prepare(model, 3 * images)
    for mine, other in zip(target.parameters(), source.parameters(), strict=True):
        assert torch.equal(mine, other)
    losses = [o.loss(model, Adversarial((Perturbed(images),)), images, labels)[0] for o in (source, target)]
    assert torch.equal(*losses)


def test_prepare_sets_start_values_and_keeps_modes_and_statistics(model, forest, batch) -> None:
    images, _ = batch
    model.train()
    model.image[2].eval()
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    objective = ready(OBJECTIVES["poincare"](), model, forest, images)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert isinstance(objective.head, PoincareHead)
    model.eval()
    features = objective.text_features(model).detach()
    radii = [float((scale * features[place]).norm(dim=-1).mean())
             for (_, level, place) in objective.node_slices() for scale in [objective.head.text_scales[level].detach()]
             if level != 1]  # fmt: skip
    assert radii == pytest.approx([0.95, 0.55], rel=1e-4)  # level 1 is shared by both trees
    image_radius = (objective.head.image_scale * model.encode_image(images)).norm(dim=-1).mean()
    assert float(image_radius.detach()) == pytest.approx(0.87, rel=1e-4)


def test_training_in_bfloat16_autocast_keeps_the_loss_in_float32(model, forest, batch) -> None:
    images, labels = batch
    objective = ready(OBJECTIVES["poincare"](), model, forest, images)
    adversarial = objective.perturb(model, images, labels)
    expected, _ = objective.loss(model, adversarial, images, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = objective.loss(model, objective.perturb(model, images, labels), images, labels)
        assert objective.text_features(model).dtype == torch.float32  # bfloat16 would swallow the text perturbation
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=0.05)


def is_primitive(value: object) -> bool:
    """Whether a configuration can hold it as it is."""
    parts = value if isinstance(value, tuple) else (value,)
    return all(part is None or isinstance(part, int | float | str | bool) for part in parts)


@pytest.mark.parametrize(
    "kind",
    [
        HierarchicalObjective,
        TeCoAObjective,
        SmoothAdvObjective,
        CleanObjective,
        PMGAFTObjective,
        FAREObjective,
        AGFTObjective,
        SubspaceAlignmentObjective,
        ImageTextContrastiveObjective,
    ],
)
def test_objectives_are_built_from_primitive_keyword_arguments_and_values_of_such(kind: type[Objective]) -> None:
    for parameter in inspect.signature(kind).parameters.values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert is_primitive(parameter.default) or all(map(is_primitive, asdict(parameter.default).values()))
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Objective, "objective")
    parsed = parser.parse_object({"objective": {"class_path": f"hrvlm.objectives.{kind.__name__}"}})
    assert isinstance(parser.instantiate(parsed).objective, kind)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "cosine"}, "expected weights.order 0 with the cosine head"),
        ({"head": "sphere"}, "expected head.kind to be one of poincare, cosine, got 'sphere'"),
        ({"strategy": "all"}, "expected strategy to be one of"),
        ({"hnsa": "sideways"}, "expected hnsa to be one of"),
        ({"lambda_vicinity": -1.0}, "expected weights.vicinity >= 0"),
        ({"eps_text": float("nan")}, "expected eps >= 0 and finite of the text perturbation"),
        ({"steps": -1}, "expected steps >= 0"),
        ({"eps": 4}, "write 4/255"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(HierarchicalObjective, **arguments)


def test_use_out_of_order_is_refused(model, forest, batch) -> None:
    images, labels = batch
    objective = OBJECTIVES["poincare"]()
    with pytest.raises(RuntimeError, match=r"HierarchicalObjective\.bind\(forest\) before use"):
        objective.prompts()
    objective.bind(forest)
    with pytest.raises(RuntimeError, match="got a second"):
        objective.bind(forest)
    with pytest.raises(RuntimeError, match=r"prepare\(model\) before use"):
        objective.perturb(model, images, labels)
    with pytest.raises(ValueError, match="pass a batch of images"):
        objective.prepare(model)
    wrong = made(HierarchicalObjective, image_scale=0.1, text_scales=[0.1, 0.1])
    with pytest.raises(ValueError, match="expected 3 text_scales"):
        wrong.bind(forest)
