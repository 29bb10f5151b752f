"""What the host tells a device in training, attacks and smoothing: it waits nowhere but where these tests name it."""

from __future__ import annotations

import pytest
import torch
from fake_device import DEVICE, MixedDevicesError, fake_device, moved
from open_clip.transformer import VisionTransformer
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.attacks.gradients import FiniteChecks, NonFiniteError
from hrvlm.attacks.perturbation import perturb, pgd
from hrvlm.attacks.step_rules import StepRule
from hrvlm.certificates import Sample
from hrvlm.certificates.sampling.batches import Drawing, noisy_batch
from hrvlm.certificates.sampling.stream import Execution, count_labels
from hrvlm.models import inference_copy
from hrvlm.models.heads import PoincareHead
from hrvlm.objectives import HierarchicalObjective, TeCoAObjective
from hrvlm.objectives.hierarchical import tree_terms

EPS, STEPS = 8 / 255, 5
BOUNDS = ["check_images", "conclude", "check", "check"]
"""Waits of an ascent: are the pictures in range, were all gradients finite, does the result keep budget and bounds."""
PLACE = {"tecoa": [], "hierarchical": ["_groups", "_groups"]}
"""Besides: labels, fetched to be grouped, once for the attack and once for the loss."""


def prepared(name: str, model, forest):
    ascent = Ascent(steps=STEPS, step_size=EPS / 2)
    kind = TeCoAObjective if name == "tecoa" else HierarchicalObjective
    objective = kind(threat_model=ThreatModel(eps=EPS), ascent=ascent)
    objective.bind(forest)
    objective.prepare(model, torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    return objective


def step(objective, model, images, labels) -> None:
    adversarial = objective.perturb(model, images, labels)
    objective.loss(model, adversarial, images, labels)[0].backward()


def on_device(size: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.empty(size, 3, 16, 16, device=DEVICE), torch.empty(size, dtype=torch.int64, device=DEVICE)


@pytest.mark.parametrize(("name", "most"), [("tecoa", 600), ("hierarchical", 6500)])
def test_a_training_step_waits_at_its_ends_alone(name, most, make_model, forest, monkeypatch):
    model = make_model()
    objective = prepared(name, model, forest)
    model, objective = moved(model), moved(objective)
    with fake_device(monkeypatch) as device:
        step(objective, model, *on_device())
    assert sorted(device.waits) == sorted([*BOUNDS, *PLACE[name]])
    assert STEPS * 20 < device.kernels < most
    assert model.image[0].weight.grad.device == DEVICE


@pytest.mark.parametrize("rule", ["sign", "momentum", "apgd"])
def test_attacks_wait_at_their_ends_alone(rule, make_model, monkeypatch):
    model, found = moved(make_model()), {}
    for steps in (5, 20):
        with fake_device(monkeypatch) as device:
            images, labels = on_device()
            if rule == "sign":
                pgd(model.encode_image, images, labels, ThreatModel(eps=EPS), steps)
            else:
                sum_of = lambda pixels: model.encode_image(pixels).sum(dim=1)  # noqa: E731
                perturb(sum_of, images, ThreatModel(eps=EPS), steps, EPS, rule=StepRule(name=rule))
        assert sorted(device.waits) == sorted(BOUNDS)
        found[steps] = device.kernels
    assert (found[20] - found[5]) / 15 < 65  # kernels of a step


def test_a_batch_of_noisy_copies_is_waited_for_once(make_model, monkeypatch):
    model = moved(make_model())
    image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    samples = [Sample(index, image, {}) for index in range(3)]

    def classify(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        assert pixels.device == DEVICE
        scores = model.encode_image(pixels)
        return {"leaf": scores.argmax(dim=1), "top": scores[:, :2].argmax(dim=1)}

    classes = {"leaf": 8, "top": 2}
    for noise in ("float32", "grid"):
        given = [Sample(s.index, (s.image * 255).round() / 255, {}) for s in samples]
        with fake_device(monkeypatch) as device:
            counted = count_labels(
                classify, given, classes, [range(4), range(4, 20)],
                drawing=Drawing(0.25, 1, noise), batch_size=10, execution=Execution(device=DEVICE),
            )  # fmt: skip
            for _, counts in counted:
                assert counts["leaf"].sum(axis=1).tolist() == [4, 16]
        assert [place for place in device.waits if place != "_table_on"] == ["fetch"] * 6
        assert device.waits.count("_table_on") <= 2  # what whole noise of one sigma needs is sent once
        assert device.kernels / 6 < 15


def test_fake_tensors_of_cuda_go_from_noise_to_labels():
    """PyTorch's own rules for devices: there as well, numbers that are asked for and mixed devices are errors."""
    cuda, sample = torch.device("cuda"), Sample(0, torch.rand(3, 8, 8), {})
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        with cuda:
            tower = VisionTransformer(image_size=8, patch_size=4, width=12, layers=2, heads=3, mlp_ratio=2.0)
        noisy = noisy_batch([(sample, range(4)), (sample, range(7, 9))], Drawing(0.25, 1), cuda)
        assert noisy.shape == (6, 3, 8, 8)
        labels = inference_copy(tower)(noisy).argmax(dim=1)
        assert noisy.device.type == labels.device.type == "cuda"
        with pytest.raises(DataDependentOutputException):
            labels[0].item()
        with pytest.raises(RuntimeError, match="on the same device"):
            inference_copy(tower)(noisy.to("cpu"))


def test_an_item_or_another_device_in_the_loop_is_noticed(make_model, monkeypatch):
    model, images = moved(make_model()), on_device()[0]

    def waiting(pixels: torch.Tensor) -> torch.Tensor:
        scores = model.encode_image(pixels).sum(dim=1)
        return scores * (1.0 if scores.sum().item() > 0 else 2.0)

    def masked(pixels: torch.Tensor) -> torch.Tensor:
        scores = model.encode_image(pixels).sum(dim=1)
        return torch.where(scores > 0, scores, torch.tensor(2.0, device=DEVICE))

    for loss in (waiting, masked):
        with fake_device(monkeypatch) as device:
            perturb(loss, images, ThreatModel(eps=EPS), STEPS, EPS)
        assert len(device.waits) == len(BOUNDS) + STEPS
    shift = torch.ones(8)
    with fake_device(monkeypatch), pytest.raises(MixedDevicesError):
        perturb(lambda pixels: (model.encode_image(pixels) + shift).sum(dim=1), images, ThreatModel(eps=EPS), 1, EPS)


def test_the_first_failure_is_told_when_an_ascent_is_over():
    """As on a device, of which nothing is asked before."""
    checks, told = FiniteChecks(at_once=False), []
    for number in range(4):
        images = torch.full((1, 2), float(number))
        gradient = torch.tensor([1.0, float("nan") if number in (2, 3) else 0.0])
        checks.note({"loss": torch.ones(()), "image gradient": gradient}, number, images)
        told.append(images)
    with pytest.raises(NonFiniteError, match="finite image gradient at step 2") as error:
        checks.conclude()
    assert torch.equal(error.value.images, told[2])
    FiniteChecks(at_once=False).conclude()
    with pytest.raises(NonFiniteError, match="finite loss at step 0"):
        FiniteChecks(at_once=True).note({"loss": torch.tensor(float("inf"))}, 0, torch.zeros(1, 2))


def test_the_hyperbolic_block_compiles_as_one_graph(deep_tree):
    """Points, averages, scores and all terms of a tree, without a break."""
    from hrvlm.objectives.groups import TreeTable, group_batch

    head = PoincareHead(text_scales=[0.5] * 3, image_scale=0.5)
    table = TreeTable(deep_tree, "both", torch.arange(sum(len(level.ids) for level in deep_tree.levels)))
    groups = group_batch(table, torch.tensor([0, 1, 3, 5]))
    generator = torch.Generator().manual_seed(0)
    features, texts = torch.randn(4, 8, generator=generator), torch.randn(len(table.node_level), 8, generator=generator)

    def block(images: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
        points, named = head.lift_image(images), head.lift_text(nodes, table.node_level)
        terms = tree_terms(points, named, head, groups, table, zeta_vicinity=1.0, zeta_gap=0.05)
        return terms.hita.sum() + terms.vicinity + terms.order_image.sum() + terms.order_text.sum()

    torch._dynamo.reset()
    compiled = torch.compile(block, fullgraph=True, backend="eager", dynamic=False)
    torch.testing.assert_close(compiled(features, texts), block(features, texts))
