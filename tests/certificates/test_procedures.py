from __future__ import annotations

import dataclasses

import brightness
import numpy as np
import pytest
import torch
from brightness import COARSE, LEAF, SIGMA, two_levels
from scipy.stats import binom, norm
from sweeps import sweep

from hrvlm.certificates import (
    Sample,
    SmoothingPlan,
    Statement,
    certify,
    clopper_pearson_lower,
    gaussian,
    operational_threshold,
    record_from_row,
    summarise,
    two_bound_radius,
    verify_rows,
)
from hrvlm.certificates.statistics.anytime import anytime_lower, look_times
from hrvlm.certificates.statistics.claim import FIXED, SAME, SEPARATE, decide


def samples(count=8, **options):
    return brightness.samples(count, 0.95, **options)


PLAN = SmoothingPlan(sigma=SIGMA, n0=20, n=300, alpha=0.01, seed=3)
PLANS = {
    "split": PLAN,
    "shared": dataclasses.replace(PLAN, procedure="shared"),
    "two bounds": dataclasses.replace(PLAN, procedure="two bounds"),
    "pilot": dataclasses.replace(PLAN, procedure="pilot"),
    "adaptive": dataclasses.replace(PLAN, procedure="adaptive", goal=0.1),
    "votes": dataclasses.replace(PLAN, votes=51),
    "filter": dataclasses.replace(PLAN, threshold=0.2),
}


def run(plan, statements=(LEAF, COARSE), **options):
    inputs = options.pop("samples", None) or samples()
    return [record for records in certify(two_levels, inputs, statements, plan, **options) for record in records]


def labels_of(sample, draws, key):
    return two_levels(sample.image + gaussian((1, 2, 3), 3, sample.index, draws, SIGMA))[key]


@pytest.mark.parametrize("name", sweep(PLANS, quick=("split", "adaptive")))
def test_rows_do_not_depend_on_batches_and_verify(name):
    expected = sorted((r.to_row() for r in run(PLANS[name])), key=lambda r: (r["index"], r["level"]))
    for batch_size, threads in [(1, 0), (37, 2), (4000, 3)]:
        found = [r.to_row() for r in run(PLANS[name], batch_size=batch_size, threads=threads)]
        assert sorted(found, key=lambda r: (r["index"], r["level"])) == expected
    assert verify_rows(expected) == []
    assert [record_from_row(row).to_row() for row in expected] == expected
    assert any(not row["abstain"] for row in expected)
    summary = summarise(expected, [0.0, 0.1])
    assert summary["smoothing"]["animals"]["0"]["images"] == 8


def test_shared_samples_choose_and_count_at_half_alpha():
    found = run(PLANS["shared"])
    assert {record.abstain for record in found} == {True, False}
    for record in found:
        sample = next(s for s in samples() if s.index == record.index)
        counts = labels_of(sample, range(300), (0, record.level)).bincount(minlength=2)
        assert (record.prediction, record.count) == (int(counts.argmax()), int(counts.max()))
        assert (record.n0, record.selection_count, record.split) == (0, 0, SAME)
        bound = clopper_pearson_lower(record.count, 300, 0.01 / 4)
        assert record.lower == (0.0 if record.abstain else bound)
        assert record.abstain == (bound <= 0.5)


def test_two_bounds_take_the_strongest_rival():
    for record in run(PLANS["two bounds"]):
        sample = next(s for s in samples() if s.index == record.index)
        counts = labels_of(sample, range(20, 320), (0, record.level)).bincount(minlength=2).tolist()
        own = counts.pop(record.prediction)
        assert (record.count, record.runner_up) == (own, max(counts))
        assert record.radius == two_bound_radius(own, max(counts), 300, 0.005, SIGMA)


def test_a_pilot_gives_up_and_is_not_counted_again():
    def quarters(images):
        return {LEAF.key: ((images[:, 0, 0, 0] * 1000).long() % 4).clamp(0, 3)}

    plan = PLANS["pilot"]
    classes = []
    for pixel in (0.5, 0.95):
        image = torch.full((1, 2, 3), pixel)
        classify = quarters if pixel == 0.5 else two_levels
        drawn = []

        def counting(images, classify=classify, drawn=drawn):
            drawn.append(len(images))
            return classify(images)

        [[record]] = certify(counting, [Sample(0, image, {LEAF.key: 3})], [LEAF], plan)
        classes.append((record.n, record.decision, record.abstain, sum(drawn)))
        assert verify_rows([record.to_row()]) == []
    assert classes == [(0, "given up", True, 20), (300, None, False, 320)]


def test_decisions_stop_at_the_first_look_that_decides():
    plan = PLANS["adaptive"]
    decisions = set()
    for record in run(plan):
        sample = next(s for s in samples() if s.index == record.index)
        labels = labels_of(sample, range(20, 320), (0, record.level))
        for look in look_times(300):
            count = int((labels[:look] == record.prediction).sum())
            decision = decide(count, int(look), alpha=0.005, give_up=0.05, goal=0.1, sigma=SIGMA)
            if decision != "undecided":
                break
        assert (record.n, record.count, record.decision) == (look, count, decision)
        assert record.lower == anytime_lower(count, int(look), 0.005)
        assert (record.decision == "certified") == (record.radius >= 0.1)
        assert record.abstain == (record.lower <= 0.5)
        decisions.add(decision)
    assert decisions >= {"certified", "given up"}


def pixel(images):
    return {"k": (images[:, 0, 0, 0] > 0.5).long()}


BINARY = Statement("k", "t", 0, "leaf", 2)


def many(margin, count):
    image = torch.full((1, 1, 1), 0.5 + margin)
    return (Sample(i, image, {"k": 1}) for i in range(count))


@pytest.mark.parametrize("procedure", sweep(["shared", "two bounds", "pilot", "adaptive"], quick=["shared"]))
def test_every_procedure_is_false_at_most_at_alpha(procedure):
    """Smoothed half-space of known margin, through the sampling machinery; for a goal, exactly at the margin."""
    alpha, images, margin = 0.1, 500, SIGMA * norm.ppf(0.7)
    goal = margin if procedure == "adaptive" else None
    plan = SmoothingPlan(sigma=SIGMA, n0=8, n=60, alpha=alpha, seed=7, procedure=procedure, goal=goal)
    found = list(certify(pixel, many(margin, images), [BINARY], plan, batch_size=2000))
    false = sum(not r.abstain and (r.prediction == 0 or r.radius > margin * (1 + 1e-9)) for [r] in found)
    asked = sum(r.decision == "certified" for [r] in found)
    assert max(false, asked) <= binom.ppf(0.9999, images, alpha)
    assert verify_rows(r.to_row() for [r] in found) == []


def test_adaptive_decisions_cost_less_where_images_are_clear():
    plan = SmoothingPlan(sigma=SIGMA, n0=8, n=5000, alpha=1e-3, seed=7, procedure="adaptive", goal=SIGMA)
    clear = [r for [r] in certify(pixel, many(2 * SIGMA, 40), [BINARY], plan, batch_size=500)]
    hopeless = [r for [r] in certify(pixel, many(0.2 * SIGMA, 40), [BINARY], plan, batch_size=500)]
    assert all(r.decision == "certified" and r.n <= 300 for r in clear)
    assert sum(r.decision == "given up" for r in hopeless) >= 36
    assert np.mean([r.n for r in hopeless]) < 100


def test_statements_about_a_class_fixed_in_advance():
    fixed = dataclasses.replace(COARSE, target=1)
    plan = dataclasses.replace(PLAN, threshold=0.2)
    records = run(plan, [fixed])
    assert {(r.prediction, r.split, r.threshold) for r in records} == {(1, FIXED, 0.2)}
    for record in records:
        expected = max(0.0, SIGMA * (norm.ppf(record.lower) - norm.ppf(0.2)))
        assert record.radius == pytest.approx(expected, abs=1e-12)
        assert record.abstain == (record.lower <= 0.2)
        if not record.abstain:
            assert "a probability above 0.2" in record.statement
    assert verify_rows(r.to_row() for r in records) == []
    with pytest.raises(ValueError, match="expected target"):
        dataclasses.replace(COARSE, target=2)


def test_deployed_votes_are_part_of_the_claim():
    plain, votes = run(PLAN), run(PLANS["votes"])
    tau = operational_threshold(51, 0.05)
    for ideal, deployed in zip(plain, votes, strict=True):
        assert deployed.threshold == tau
        assert deployed.radius == pytest.approx(max(0.0, ideal.radius - SIGMA * norm.ppf(tau)), abs=1e-12)
        assert deployed.abstain or "by a vote of 51 fresh samples" in deployed.statement


@pytest.mark.parametrize(
    ("name", "changes", "field"),
    [
        ("shared", {"split": SEPARATE}, "radius"),
        ("adaptive", {"method": "clopper-pearson"}, "method"),
        ("adaptive", {"n": 40}, "radius"),
        ("adaptive", {"goal": 0.24}, "decision"),
        ("adaptive", {"radius": 0.2}, "radius"),
        ("two bounds", {"runner_up": 0}, "radius"),
        ("two bounds", {"upper": 1e-4}, "upper"),
        ("two bounds", {"runner_up": 300}, "runner_up"),
        ("two bounds", {"runner_up": None}, "row"),
        ("votes", {"threshold": 0.5}, "threshold"),
        ("votes", {"votes": 5}, "threshold"),
        ("votes", {"vote_error": None}, "votes"),
        ("votes", {"vote_error": 1e-6}, "threshold"),
        ("filter", {"threshold": 0.1}, "radius"),
        ("pilot", {"n_max": 400}, "method"),
        ("pilot", {"decision": "certified"}, "decision"),
        ("split", {"method": "anytime"}, "radius"),
        ("split", {"method": "guess"}, "method"),
        ("split", {"split": "none"}, "split"),
        ("split", {"float_mode": "exact"}, "float_mode"),
    ],
)
def test_forged_rows_are_caught(name, changes, field):
    row = next(r.to_row() for r in run(PLANS[name], [COARSE], samples=samples(1)))
    assert not row["abstain"]
    if changes.get("runner_up", 1) == 0:
        row["count"] -= 20
        row["runner_up"] = 20
        assert verify_rows([row])
    assert field in {problem.field for problem in verify_rows([row | changes])}


def test_rows_from_before_these_fields_mean_their_defaults():
    row = run(PLAN)[0].to_row()
    old = {name: value for name, value in row.items() if name not in type(run(PLAN)[0]).added}
    assert record_from_row(old) == record_from_row(row)
    assert verify_rows([old]) == []


def test_precision_runs_the_forward_pass_under_autocast():
    seen = []

    def classify(images):
        seen.append((images.dtype, torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
        return two_levels(images)

    plan = dataclasses.replace(PLAN, precision="bfloat16")
    records = [r for rs in certify(classify, samples(2), [LEAF], plan) for r in rs]
    assert {s[:2] for s in seen} == {(torch.float32, True)}
    assert seen[0][2] == torch.bfloat16
    assert records[0].precision == "bfloat16"
    assert not torch.is_autocast_enabled("cpu")


def test_errors_say_what_was_expected():
    for changes, text in [
        ({"procedure": "guess"}, "expected procedure"),
        ({"procedure": "adaptive"}, "expected a goal"),
        ({"goal": 0.1}, "expected a goal"),
        ({"procedure": "adaptive", "goal": -1.0}, "expected goal"),
        ({"procedure": "adaptive", "goal": 0.1, "alpha": 0.3}, "expected alpha <= 0.19"),
        ({"procedure": "two bounds", "votes": 5}, "expected the threshold 1/2"),
        ({"procedure": "shared", "threshold": 0.3}, "expected a threshold >= 1/2"),
        ({"threshold": 0.6, "votes": 5}, "expected threshold or votes"),
        ({"noise": "exact"}, "expected noise"),
        ({"precision": "int8"}, "expected precision"),
    ]:
        with pytest.raises(ValueError, match=text):
            dataclasses.replace(PLAN, **changes)
    short = dataclasses.replace(PLAN, procedure="adaptive", goal=SIGMA, n=20, alpha=1e-3)
    with pytest.raises(ValueError, match="expected n >= 47 to certify"):
        certify(pixel, many(0.1, 1), [BINARY], short)
    with pytest.raises(ValueError, match="use a larger sigma"):
        certify(pixel, many(0.1, 1), [BINARY], dataclasses.replace(short, goal=50.0))


def test_a_pilot_without_valid_labels_draws_no_more():
    drawn = []

    def nothing(images):
        drawn.append(len(images))
        return {LEAF.key: torch.full((len(images),), -1)}

    [[record]] = certify(nothing, samples(1), [LEAF], PLANS["pilot"])
    assert (sum(drawn), record.prediction, record.n, record.abstain) == (20, -1, 0, True)
    assert "no selection sample" in record.reason
    assert verify_rows([record.to_row()]) == []
