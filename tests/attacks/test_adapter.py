"""Tests of the attacks of evaluation: what they find, and what they leave alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
import torchattacks
from small_classifiers import BUDGETS, QUICK, Linear, images, network
from sweeps import sweep
from torch import Tensor

from hrvlm.attacks import AttackSettings, NonFiniteError, ThreatModel, attack, pgd
from hrvlm.attacks.ensemble import TargetedAPGD, build_members
from hrvlm.attacks.pixel_classifier import PixelClassifier

NAMES = ("pgd20", "margin20", "cw", "apgd-ce", "apgd-t", "fab-t", "square", "apgd", "autoattack")
WITHOUT_GRADIENT = ("square",)
SEARCHES = ("pgd20", "margin20", "apgd-ce", "apgd-t", "fab-t", "apgd", "autoattack")


def norms(difference: Tensor, norm: str) -> Tensor:
    flat = difference.double().flatten(1)
    return flat.abs().amax(dim=1) if norm == "linf" else flat.norm(dim=1)


def labels_of(net: Callable[[Tensor], Tensor], pixels: Tensor, wrong: int = 0) -> Tensor:
    """The classes that a classifier gives, the first few of them made wrong."""
    scores = net(pixels)
    labels = scores.argmax(dim=1)
    labels[:wrong] = (labels[:wrong] + 1) % scores.shape[1]
    return labels


@pytest.mark.parametrize("classes", sweep([2, 3, 5], quick=[3]))
@pytest.mark.parametrize("norm", BUDGETS)
@pytest.mark.parametrize("name", NAMES)
def test_images_keep_budget_and_bounds_and_only_right_ones_are_attacked(name: str, norm: Any, classes: int) -> None:
    net, pixels, eps = network(classes).eval(), images(), BUDGETS[norm]
    labels = labels_of(net, pixels, wrong=3)
    outcome = attack(net, pixels, labels, ThreatModel(norm, eps), name, QUICK)
    found = outcome.images
    assert float(norms(found.double() - pixels.double(), norm).max()) <= eps
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert outcome.attacked.tolist() == [False] * 3 + [True] * 9
    assert torch.equal(found[:3], pixels[:3])
    broken = torch.tensor([member is not None for member in outcome.broken_by])
    assert torch.equal(net(found).argmax(dim=1) != labels, broken | ~outcome.attacked)
    assert broken.any() or name == "square"  # which has only 30 queries here
    within = outcome.distance <= eps * (1 + 1e-6)
    assert bool((within | ~broken).all()) if name != "cw" else bool((broken | ~within).all())
    assert outcome.distance[:3].isnan().all()
    assert found.dtype == pixels.dtype


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("classes", sweep([2, 3, 6], quick=[3]))
@pytest.mark.parametrize("norm", BUDGETS)
def test_linear_classifiers_are_broken_up_to_their_margin(name: str, classes: int, norm: Any) -> None:
    net, pixels = Linear(classes, offset=-50.0), images(30, low=0.3, high=0.7)
    nearest = net.distances(pixels, norm)
    eps = float(nearest.median())
    outcome = attack(net, pixels, labels_of(net, pixels), ThreatModel(norm, eps), name, QUICK)
    broken = torch.tensor([member is not None for member in outcome.broken_by])
    assert not broken[nearest > eps].any()
    clear = nearest < 0.8 * eps
    # Ascent on the cross-entropy, and FAB in few steps, may walk towards another class than the nearest.
    missed = {"pgd20": 2, "apgd-ce": 2, "fab-t": 1}.get(name, 0)
    assert clear.sum() > 8
    assert (~broken[clear]).sum() <= (missed if classes > 2 else 0)


@pytest.mark.parametrize("offset", [0.0, -50.0])
def test_cw_comes_near_the_smallest_change_also_where_every_score_is_negative(offset: float) -> None:
    net, pixels = Linear(4, offset), images(20, low=0.3, high=0.7)
    nearest = net.distances(pixels, "l2")
    outcome = attack(net, pixels, labels_of(net, pixels), ThreatModel("l2", 100.0), "cw", AttackSettings(cw_steps=100))
    assert outcome.distance.isfinite().all()
    assert bool((outcome.distance >= nearest).all())
    assert float((outcome.distance / nearest).median()) < 1.6


def test_an_unprojected_distance_beyond_the_budget_is_reported() -> None:
    net, pixels = Linear(4), images(20, low=0.3, high=0.7)
    eps = float(net.distances(pixels, "l2").median())
    outcome = attack(net, pixels, labels_of(net, pixels), ThreatModel("l2", eps), "cw", AttackSettings(cw_steps=60))
    assert bool((outcome.distance > eps).any())
    assert float(norms(outcome.images.double() - pixels.double(), "l2").max()) <= eps


@pytest.mark.parametrize("norm", BUDGETS)
def test_pgd_is_as_strong_as_ours(norm: Any) -> None:
    net, pixels = network(5).eval(), images(60)
    labels, budget = labels_of(net, pixels), ThreatModel(norm, BUDGETS[norm] / 3)
    theirs = net(attack(net, pixels, labels, budget, "pgd20").images).argmax(dim=1) != labels
    ours = net(pgd(net, pixels, labels, budget, 20)).argmax(dim=1) != labels
    assert 10 < theirs.sum() < 50
    assert (theirs != ours).sum() <= 2


def test_targeted_apgd_is_that_of_torchattacks_where_that_one_works() -> None:
    net, pixels = network(6).eval(), images(20)
    classifier = PixelClassifier(net, pixels)
    common = {"eps": 0.01, "norm": "Linf", "steps": 10, "seed": 3}
    with torch.random.fork_rng(devices=[]):
        theirs = torchattacks.APGDT(classifier, n_classes=4, **common)(pixels, labels_of(net, pixels))
        ours = TargetedAPGD(classifier, targets=3, **common)(pixels, labels_of(net, pixels))
    changed = (theirs != pixels).flatten(1).any(dim=1)
    assert 0 < changed.sum() < 20
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("classes", "targets"), [(2, 1), (3, 2), (9, 8), (40, 9)])
def test_autoattack_is_the_standard_one(classes: int, targets: int) -> None:
    classifier = PixelClassifier(network(classes), images())
    members = build_members("autoattack", classifier, classes, ThreatModel(), AttackSettings())
    assert [member.name for member in members] == [
        "apgd-ce x100", f"apgd-t x100 targets={targets}", f"fab-t x100 targets={targets}", "square x5000"
    ]  # fmt: skip


def state(net: torch.nn.Module) -> list[Any]:
    """Everything of a module, and of the world, that an attack might change."""
    modes = [part.training for part in net.modules()]
    flags = [parameter.requires_grad for parameter in net.parameters()]
    gradients = [None if p.grad is None else p.grad.tolist() for p in net.parameters()]
    values = [value.tolist() for value in net.state_dict().values()]
    switches = (torch.is_grad_enabled(), torch.is_inference_mode_enabled())
    return copy.deepcopy([modes, flags, gradients, values, switches, torch.get_rng_state().tolist()])


@pytest.mark.parametrize(
    "around", sweep([nullcontext, torch.no_grad, torch.inference_mode], quick=[torch.inference_mode])
)
@pytest.mark.parametrize("name", NAMES)
def test_everything_is_left_as_it_was(name: str, around: Callable[[], Any]) -> None:
    net = network()
    given = {"module": net, "method": net.forward, "partial": partial(net.forward), "closure": lambda x: net(x)}
    for kind, logits in given.items():
        with around():
            pixels = images(6)
            labels = torch.arange(6) % 4
            before = state(net)
            if kind == "closure":
                net.eval()  # what a closure runs cannot be seen, so the caller sets its mode
                before = state(net)
            outcome = attack(logits, pixels, labels, ThreatModel("linf", 0.03), name, QUICK)
            assert state(net) == before
            assert outcome.attacked.any()
            assert torch.equal(pixels, images(6))


@pytest.mark.parametrize("name", NAMES)
def test_results_depend_on_the_seed_and_on_no_random_state_outside(name: str) -> None:
    net, pixels = network(), images(8)
    labels = labels_of(copy.deepcopy(net).eval(), pixels)
    found = []
    with torch.random.fork_rng(devices=[]):
        for outer, seed in ((0, 5), (1, 5), (1, 6)):
            torch.manual_seed(outer)
            settings = AttackSettings(seed=seed, apgd_steps=3, fab_steps=3, square_queries=5, cw_steps=5)
            found.append(attack(net, pixels, labels, ThreatModel("linf", 0.1), name, settings).images)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[1], found[2]) == (name in ("pgd20", "margin20", "cw", "fab-t"))


def test_a_budget_of_nothing_changes_nothing() -> None:
    net, pixels = network().eval(), images()
    for norm in BUDGETS:
        outcome = attack(net, pixels, labels_of(net, pixels), ThreatModel(norm, 0.0), "autoattack", QUICK)  # type: ignore[arg-type]
        assert torch.equal(outcome.images, pixels)
        assert outcome.attacked.all()


def test_double_precision_stays() -> None:
    net, pixels = network().double().eval(), images().double()
    assert attack(net, pixels, labels_of(net, pixels), ThreatModel(), "autoattack", QUICK).images.dtype == torch.float64


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "attack": ({"name": "pgd"}, "got 'pgd'"),
    "labels": ({"labels": torch.zeros(3, dtype=torch.int64)}, r"expected labels \(12,\)"),
    "float labels": ({"labels": torch.zeros(12)}, "int64"),
    "label too large": ({"labels": torch.full((12,), 4)}, "labels from 0 to 3"),
    "half precision": ({"images": images().half()}, "float32 or float64"),
    "normalised": ({"images": images() * 3}, "not normalised"),
    "bounds": ({"threat_model": ThreatModel(bounds=(0.0, 2.0))}, "bounds"),
    "one class": ({"logits": lambda x: x.flatten(1)[:, :1], "labels": torch.zeros(12, dtype=torch.int64)}, "K >= 2"),
    "no gradient": ({"logits": lambda x: network()(x).detach()}, "do not detach"),
    "too flat for square": (
        {"images": images()[:, :, :4], "threat_model": ThreatModel("l2", 0.1), "name": "square"},
        "nearly square",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_named(case: str) -> None:
    changed, message = WRONG[case]
    net = network().eval()
    given: dict[str, Any] = {"logits": net, "images": images(), "threat_model": ThreatModel(), "name": "pgd20"}
    given["labels"] = labels_of(net, images())
    with pytest.raises(ValueError, match=message):
        attack(**given | changed)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_GRADIENT])
def test_gradients_that_are_none_stop_the_attack(name: str) -> None:
    net, pixels = network().eval(), images()
    labels = labels_of(net, pixels)

    def logits(x: Tensor) -> Tensor:
        # The square root's gradient at 0 is infinite, and 0 times infinity none.
        return net(x) + (torch.sqrt(x * 0.0) * 0.0).flatten(1).sum(dim=1, keepdim=True)

    with pytest.raises(NonFiniteError, match="image gradient"):
        attack(logits, pixels, labels, ThreatModel("linf", 0.03), name, QUICK)


@pytest.mark.parametrize("none", sweep([torch.nan, torch.inf, -torch.inf], quick=[torch.nan]))
@pytest.mark.parametrize("name", NAMES)
def test_scores_that_are_none_are_wrong(name: str, none: float) -> None:
    """Those of image 1 are none as it is, those of even images once they are changed at all."""
    net, pixels = network().eval(), images()
    labels = labels_of(net, pixels)
    labels[1] = 0  # as a maximum over NaN or infinities would have it

    def logits(x: Tensor) -> Tensor:
        image = torch.cdist(x.flatten(1), pixels.flatten(1)).argmin(dim=1)
        changed = (x != pixels[image]).flatten(1).any(dim=1)
        hit = (image == 1) | (changed & (image % 2 == 0))
        return torch.where(hit[:, None], none, net(x))

    outcome = attack(logits, pixels, labels, ThreatModel("linf", 0.03), name, QUICK)
    assert outcome.attacked.tolist() == [index != 1 for index in range(len(pixels))]
    assert outcome.broken_by[1] is None
    assert all(outcome.broken_by[index] is not None for index in range(0, len(pixels), 2))
    assert not logits(outcome.images)[::2].isfinite().any()
    assert all(logits(outcome.images)[3::2].isfinite().all(dim=1))


@pytest.mark.parametrize(
    "changed", [{"cw_c": []}, {"cw_c": [-1.0]}, {"cw_learning_rate": 0.0}, {"apgd_steps": 0}, {"seed": -1}]
)
def test_wrong_settings_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changed))):
        AttackSettings(**changed)
