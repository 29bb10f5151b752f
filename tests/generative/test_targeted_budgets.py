"""Budgets of targeted attacks: what they change, and up to which L2 norm, by which certificates cover them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hrvlm.attacks.threat_model import ThreatModel
from hrvlm.evaluation.targeted_attack_settings import TargetedAttackSettings
from hrvlm.evaluation.targeted_attacker import TargetedAttacker, just_inside, patch_side
from hrvlm.generative import Decoding, Generator
from hrvlm.generative.oracles import CommandOracle
from hrvlm.generative.targeted_attack import attack_towards, steepest_square
from hrvlm.generative.targeted_attack_checks import TARGETED_ATTACKS
from hrvlm.generative.targeted_attack_records import TargetedAttackRecord, reach_of, summarise_targeted_attacks
from hrvlm.rows.strict import RowError

IMAGE = torch.full((1, 3, 8, 10), 0.5)


class Corner(Generator):
    """A model whose answer gets more probable with the brightness of four pixels."""

    def generate(self, images: Tensor, uniforms: Tensor | None = None) -> list[str]:
        return ["bright"] * len(images)

    def log_probability(self, images: Tensor, answers: Sequence[str]) -> Tensor:
        return images[:, :, 5:7, 3:5].sum(dim=(1, 2, 3)) + 0.01 * images.sum(dim=(1, 2, 3))


class Distant(Generator):
    """A model that gives answers alone, as one behind a server."""

    def generate(self, images: Tensor, uniforms: Tensor | None = None) -> list[str]:
        return ["bright"] * len(images)


MODEL = Corner(name="corner", prompt="?", decoding=Decoding())


def test_the_patch_lies_where_the_answer_rises_most_and_nothing_else_changes() -> None:
    shown = steepest_square(lambda pixels: MODEL.log_probability(pixels, ["bright"]), IMAGE, 2)
    expected = torch.zeros(1, 1, 8, 10, dtype=torch.bool)
    expected[:, :, 5:7, 3:5] = True
    assert torch.equal(shown, expected)
    attacked = attack_towards(MODEL, IMAGE, ["bright"], ThreatModel("linf", 1.0), steps=4, patch=2)
    assert torch.equal(attacked, torch.where(expected, torch.ones(()), IMAGE))
    with pytest.raises(ValueError, match="expected a patch of 1 to 8 pixels, got 9"):
        attack_towards(MODEL, IMAGE, ["bright"], ThreatModel("linf", 1.0), steps=4, patch=9)


def test_an_l_infinity_attack_keeps_its_budget() -> None:
    attacked = attack_towards(MODEL, IMAGE, ["bright"], ThreatModel("linf", 0.1), steps=4)
    assert torch.allclose(attacked, torch.tensor(0.6))


@pytest.mark.parametrize("radius", [0.2, 1.8, 3.0, 5.5, 40.0])
@pytest.mark.parametrize("norm", ["l2", "linf", "patch"])
def test_budgets_just_inside_reach_no_further_than_the_radius(norm: str, radius: float) -> None:
    eps = just_inside(norm, radius, IMAGE)  # type: ignore[arg-type]
    if norm == "patch" and radius < math.sqrt(3):
        assert eps is None  # one pixel may change by more
        return
    assert eps is not None
    values = IMAGE[0].numel()
    if norm == "patch":
        side = patch_side(eps, IMAGE)
        values = 3 * side**2
        assert side == 8 or 3 * (side + 1) ** 2 > radius**2
    reach = reach_of(norm, eps, values)  # type: ignore[arg-type]
    assert reach <= radius * (1 + 1e-12)
    assert norm == "patch" or reach == pytest.approx(radius)
    assert just_inside(norm, 0.0, IMAGE) is None  # type: ignore[arg-type]


def test_the_reach_is_that_of_the_worst_change() -> None:
    worst = torch.full((3, 8, 10), 0.1)
    assert reach_of("linf", 0.1, worst.numel()) == pytest.approx(float(worst.norm()))
    assert reach_of("patch", 0.05, 3 * 2**2) == pytest.approx(float(torch.ones(3, 2, 2).norm()))
    with pytest.raises(ValueError, match="expected num_values with the norm 'linf'"):
        reach_of("linf", 0.1, None)


RECORD = TargetedAttackRecord(
    index=0, defence="smoothing", eps=0.01, oracle="command", forbidden="go to", wanted="go to it",
    clean_answer="pick up", answer="pick up", label="pick up", success=False, certified_radius=0.2, inside=False,
    sigma=0.1, votes=20, forbidden_votes=3, steps=4, samples=2, seed=0, norm="linf", num_values=300,
)  # fmt: skip


def test_rows_say_the_norm_where_it_is_another_and_only_there() -> None:
    row = RECORD.to_row()
    assert (row["norm"], row["num_values"], "prompt" in row) == ("linf", 300, False)
    assert TargetedAttackRecord.from_row(row) == RECORD
    plain = replace(RECORD, norm="l2", num_values=None).to_row()
    assert not {"norm", "num_values", "prompt"} & set(plain)
    assert TargetedAttackRecord.from_row(plain).reach == 0.01
    with pytest.raises(RowError):
        TargetedAttackRecord.from_row(row | {"norm": "l1"})


def test_what_no_attack_can_be_made_of_is_refused_before_any_image() -> None:
    settings = TargetedAttackSettings(data="photos", oracle=CommandOracle(), forbidden="go to")
    with pytest.raises(ValueError, match="expected at least one wanted answer of the class 'go to', got none"):
        TargetedAttacker(MODEL, settings)
    distant = Distant(name="far", prompt="?", decoding=Decoding())
    with pytest.raises(ValueError, match=r"expected a model in this process, .* got 'far', which gives none"):
        TargetedAttacker(distant, replace(settings, wanted=["go to it"]))


def test_certificates_cover_what_they_reach() -> None:
    covered, beyond = RECORD, replace(RECORD, index=1, eps=0.02)  # 0.01 and 0.02 times the root of 300
    summary = summarise_targeted_attacks([covered, beyond])
    assert (summary["norm"], summary["inside"]["attacked"], summary["beyond"]["attacked"]) == ("linf", 1, 1)
    problems = list(TARGETED_ATTACKS.of_record(replace(beyond, inside=True)))
    assert [name for name, *_ in problems] == ["inside"]
    assert list(TARGETED_ATTACKS.of_record(replace(covered, inside=True))) == []
    assert [name for name, *_ in TARGETED_ATTACKS.of_record(replace(covered, num_values=None))] == ["num_values"]
