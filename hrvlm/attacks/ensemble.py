"""The attacks by name, built from torchattacks for one classifier, threat model and number of classes.

AutoAttack's ensemble is put together here from its members, as its paper defines the standard version (100 iterations
of each white-box member, 9 targets, 5,000 queries): torchattacks' own takes 10 iterations, aims at every class, which
costs too much for many, and fails below 4 classes.

Sources: PGD, Madry et al., ICLR 2018 (arXiv 1706.06083); CW, Carlini and Wagner, S&P 2017 (arXiv 1608.04644);
AutoAttack with APGD, Croce and Hein, ICML 2020 (arXiv 2003.01690); FAB, Croce and Hein, ICML 2020 (arXiv 1907.02044);
Square, Andriushchenko et al., ECCV 2020 (arXiv 1912.00049).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torchattacks
from torch import Tensor

from hrvlm.attacks.names import ENSEMBLES, STEPS, AttackSettings, check_attacks, parting
from hrvlm.attacks.perturbation import perturb
from hrvlm.attacks.pixel_classifier import PixelClassifier
from hrvlm.attacks.score_losses import margin
from hrvlm.attacks.threat_model import ThreatModel

# PGD in l2 divides by the gradient's norm plus this; torchattacks' own 1e-10 would shorten steps of confident models.
_TINY = 1e-30
_NORMS = {"linf": "Linf", "l2": "L2"}


@dataclass(frozen=True)
class Member:
    """One attack of an ensemble, or a single attack.

    Attributes:
        name: What it is, with its effort, for example "apgd-t x9".
        run: Maps images and labels to images, which may lie outside the budget (CW) or fail.
    """

    name: str
    run: Callable[[Tensor, Tensor], Tensor]


def build_members(
    name: str, classifier: PixelClassifier, num_classes: int, threat_model: ThreatModel, settings: AttackSettings
) -> list[Member]:
    """The attacks to be run one after the other, each on the images that those before left standing.

    Args:
        name: See `check_attacks`.
        classifier: What is attacked.
        num_classes: K >= 2.
        threat_model: Norm and budget; pixel bounds must be [0, 1].
        settings: Effort and seed.
    """
    check_attacks([name])
    if parting(name):
        raise ValueError(f"expected an attack on one classifier, got {name!r}, which attacks two levels of a tree")
    if name in ENSEMBLES:
        parts = [build_members(part, classifier, num_classes, threat_model, settings) for part in ENSEMBLES[name]]
        return [member for part in parts for member in part]
    if match := STEPS.fullmatch(name):
        return [_gradient_ascent(match[1], int(match[2]), classifier, threat_model)]
    if name == "cw":
        steps, rate = settings.cw_steps, settings.cw_learning_rate
        attacks = [(c, torchattacks.CW(classifier, c=c, steps=steps, lr=rate)) for c in settings.cw_c]
        return [Member(f"cw c={c:g} x{steps}", attack) for c, attack in attacks]
    return [_autoattack_member(name, classifier, min(settings.max_targets, num_classes - 1), threat_model, settings)]


def _gradient_ascent(kind: str, steps: int, classifier: PixelClassifier, threat_model: ThreatModel) -> Member:
    """PGD from the clean image, so that the result does not depend on batching; step size 2.5·eps/steps."""
    name, step_size = f"{kind} x{steps}", 2.5 * threat_model.eps / steps
    if kind == "margin":

        def run(images: Tensor, labels: Tensor) -> Tensor:
            return perturb(lambda x: margin(classifier(x), labels), images, threat_model, steps, step_size)

        return Member(name, run)
    common: dict[str, Any] = {"eps": threat_model.eps, "alpha": step_size, "steps": steps, "random_start": False}
    if threat_model.norm == "linf":
        return Member(name, torchattacks.PGD(classifier, **common))
    return Member(name, torchattacks.PGDL2(classifier, eps_for_division=_TINY, **common))


def _autoattack_member(
    name: str, classifier: PixelClassifier, targets: int, threat_model: ThreatModel, settings: AttackSettings
) -> Member:
    common: dict[str, Any] = {"eps": threat_model.eps, "norm": _NORMS[threat_model.norm], "seed": settings.seed}
    apgd, fab, queries = settings.apgd_steps, settings.fab_steps, settings.square_queries
    if name == "apgd-ce":
        return Member(f"apgd-ce x{apgd}", torchattacks.APGD(classifier, steps=apgd, loss="ce", **common))
    if name == "apgd-t":
        attack = TargetedAPGD(classifier, targets=targets, steps=apgd, **common)
        return Member(f"apgd-t x{apgd} targets={targets}", attack)
    if name == "fab-t":
        attack = torchattacks.FAB(classifier, steps=fab, multi_targeted=True, n_classes=targets + 1, **common)
        return Member(f"fab-t x{fab} targets={targets}", attack)
    return Member(f"square x{queries}", torchattacks.Square(classifier, n_queries=queries, **common))


class TargetedAPGD(torchattacks.APGD):
    """APGD-T for any number of classes: APGD on the targeted difference-of-logits ratio, one target after the other.

    torchattacks' APGDT needs 4 classes and in l2 moves every image by the first image's step size.
    """

    def __init__(self, model: PixelClassifier, *, targets: int, **settings: Any) -> None:
        """Sets up one run per target.

        Args:
            model: What is attacked.
            targets: How many classes to aim at, from the likeliest wrong one.
            settings: Of `torchattacks.APGD`.
        """
        super().__init__(model, loss="dlr", n_restarts=targets, **settings)
        self._rank = 1

    def perturb(self, x_in: Tensor, y_in: Tensor, best_loss: bool = False, cheap: bool = True) -> Any:
        """Runs every target on the images that are left."""
        self._rank = 1
        return super().perturb(x_in, y_in, best_loss, cheap)

    def attack_single_run(self, x_in: Tensor, y_in: Tensor) -> Any:
        """One run at the next class by rank at the clean image."""
        self._rank += 1
        self._target = self.get_logits(x_in).sort(dim=1)[1][:, -self._rank]
        return super().attack_single_run(x_in, y_in)

    def dlr_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Targeted ratio (N,) of scores (N, K); the difference itself of 2 or 3 classes.

        There the ratio has no gradient: the lowest of three classes as a target makes it constant.
        """
        difference = (x.gather(1, self._target[:, None]) - x.gather(1, y[:, None]))[:, 0]
        if x.shape[1] < 4:
            return difference
        ordered = x.sort(dim=1, descending=True)[0]
        return difference / (ordered[:, 0] - ordered[:, 2:4].mean(dim=1) + 1e-12)
