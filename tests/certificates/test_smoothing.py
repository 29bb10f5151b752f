from __future__ import annotations

import dataclasses

import brightness
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
    smoothed_predict,
    verify_rows,
)


def samples(count=5, **options):
    return brightness.samples(count, 0.9, **options)


PLAN = SmoothingPlan(sigma=SIGMA, n0=20, n=130, alpha=0.01, seed=3)


def rows(**options):
    inputs, plan = options.pop("samples", samples()), options.pop("plan", PLAN)
    found = certify(two_levels, inputs, [LEAF, COARSE], plan, **options)
    return [record.to_row() for records in found for record in records]


def test_counts_are_those_of_a_plain_loop():
    for sample, records in zip(samples(), certify(two_levels, samples(), [LEAF, COARSE], PLAN), strict=True):
        noise = gaussian((1, 2, 3), 3, sample.index, range(150), SIGMA)
        labels = two_levels(sample.image + noise)
        for record, statement in zip(records, (LEAF, COARSE), strict=True):
            selection = labels[statement.key][:20].bincount(minlength=statement.num_classes)
            assert record.prediction == int(selection.argmax())
            assert record.selection_count == int(selection.max())
            assert record.count == int((labels[statement.key][20:] == record.prediction).sum())
            lower = clopper_pearson_lower(record.count, 130, 0.01 / 2)
            assert record.lower == lower
            assert record.radius == pytest.approx(SIGMA * norm.ppf(lower) if lower > 0.5 else 0.0)
            assert record.abstain == (lower <= 0.5) == (record.reason is not None)
            assert (record.alpha_share, record.num_statements, record.invalid) == (0.005, 2, 0)
            assert record.correct == (record.prediction == int(sample.labels[statement.key]))
    assert verify_rows(rows()) == []


@pytest.mark.parametrize("batch_size", [1, 7, 64, 149, 150, 151, 5000])
@pytest.mark.parametrize("threads", [0, 1, 3])
def test_rows_do_not_depend_on_batches_threads_or_order(batch_size, threads):
    expected = rows()
    assert rows(batch_size=batch_size, threads=threads) == expected
    backwards = rows(samples=samples()[::-1], batch_size=batch_size, threads=threads)
    assert sorted(backwards, key=lambda row: (row["index"], row["level"])) == expected


def test_batches_are_full_mix_images_and_are_never_larger():
    sizes = []

    def classify(images):
        sizes.append(len(images))
        return two_levels(images)

    list(certify(classify, samples(), [LEAF, COARSE], PLAN, batch_size=64))
    assert sizes == [64] * 11 + [5 * 150 - 11 * 64]
    mixed = [*samples(2), *[dataclasses.replace(s, index=s.index + 50) for s in samples(2, shape=(1, 4, 4))]]
    sizes.clear()
    assert len(list(certify(classify, mixed, [LEAF, COARSE], PLAN, batch_size=400))) == 4
    assert sizes == [300, 300]


def test_records_come_as_soon_as_an_image_is_done():
    taken = []

    def stream():
        for sample in samples():
            taken.append(sample.index)
            yield sample

    found = certify(two_levels, stream(), [LEAF], PLAN, batch_size=50, threads=0)
    assert taken == []
    assert next(found)[0].index == 10
    assert len(taken) <= 2


def test_caller_state_is_left_alone():
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 4)).train()
    seen = set()

    def classify(images):
        seen.add(torch.is_grad_enabled())
        return {LEAF.key: module(images).argmax(1)}

    torch.manual_seed(0)
    state = torch.get_rng_state()
    for _ in certify(classify, samples(), [LEAF], PLAN):
        assert torch.is_grad_enabled()
    assert seen == {False}
    assert module.training
    assert torch.equal(state, torch.get_rng_state())


def test_invalid_samples_count_against_every_class():
    def half_failing(images):
        label = torch.zeros(len(images), dtype=torch.long)
        return {LEAF.key: torch.where(images[:, 0, 0, 1] > images[:, 0, 0, 2], label, -1)}

    image = torch.full((1, 2, 3), 0.5)
    [[record]] = certify(half_failing, [Sample(0, image, {LEAF.key: 0})], [LEAF], PLAN)
    assert record.abstain
    assert record.radius == 0
    assert record.count + record.invalid == 130
    assert 30 < record.invalid < 100
    nothing = lambda images: {LEAF.key: torch.full((len(images),), -1)}  # noqa: E731
    [[record]] = certify(nothing, [Sample(0, image, {LEAF.key: 0})], [LEAF], PLAN)
    assert (record.prediction, record.count, record.invalid, record.abstain) == (-1, 0, 130, True)
    assert "no selection sample" in record.reason
    assert verify_rows([record.to_row()]) == []
    [(_, votes)] = smoothed_predict(nothing, [Sample(0, image, {})], [LEAF], PLAN)
    assert (votes[LEAF.key].prediction, votes[LEAF.key].abstain) == (-1, True)


def pixel_statements(count):
    """Statement k asks whether pixel k is above 1/2: independent half-spaces of known smoothed margin."""
    statements = [Statement(k, f"tree{k}", 0, "leaf", 2) for k in range(count)]
    return statements, lambda images: {k: (images[:, 0, 0, k] > 0.5).long() for k in range(count)}


@pytest.mark.parametrize(("share", "count"), sweep([(0.62, 1), (0.75, 1), (0.75, 4)], quick=[(0.75, 1)]))
def test_certificates_are_false_at_most_at_alpha(share, count):
    """Smoothed half-spaces: the true radius is the distance of the pixel to 1/2, and the family shares one alpha."""
    alpha, images, plan = 0.1, 700, SmoothingPlan(sigma=SIGMA, n0=8, n=60, alpha=0.1, seed=11)
    margin = SIGMA * norm.ppf(share)
    image = torch.full((1, 1, count), 0.5 + margin)
    statements, classify = pixel_statements(count)
    inputs = (Sample(i, image, dict.fromkeys(range(count), 1)) for i in range(images))
    false = single = 0
    for records in certify(classify, inputs, statements, plan, batch_size=2000):
        wrong = [not r.abstain and (r.prediction == 0 or r.radius > margin) for r in records]
        false, single = false + any(wrong), single + sum(wrong)
    assert false <= binom.ppf(0.9999, images, alpha)
    # The bound is nearly exhausted, so a bound at a larger alpha would be seen here.
    assert single >= binom.ppf(0.001, images * count, 0.25 * alpha / count)


def test_votes_are_wrong_at_most_at_alpha():
    images, alpha = 400, 0.1
    statements, classify = pixel_statements(2)
    image = torch.tensor([[[0.5 + SIGMA * norm.ppf(0.53), 0.5 + SIGMA * norm.ppf(0.9)]]])
    inputs = (Sample(i, image, {}) for i in range(images))
    plan = SmoothingPlan(sigma=SIGMA, n0=8, n=50, alpha=alpha, seed=12)
    found = list(smoothed_predict(classify, inputs, statements, plan, batch_size=2000))
    assert [index for index, _ in found] == list(range(images))
    wrong = sum(any(vote.prediction != 1 and not vote.abstain for vote in votes.values()) for _, votes in found)
    assert wrong <= binom.ppf(0.9999, images, alpha)
    abstained = [sum(votes[k].abstain for _, votes in found) for k in (0, 1)]
    assert abstained[0] > 0.7 * images
    assert abstained[1] < 0.01 * images


def test_votes_are_the_binomial_test_of_the_two_largest_counts():
    plan = dataclasses.replace(PLAN, alpha=0.2)
    seen = set()
    for index, votes in smoothed_predict(two_levels, samples(60), [LEAF, COARSE], plan):
        image = next(sample.image for sample in samples(60) if sample.index == index)
        labels = two_levels(image + gaussian((1, 2, 3), 3, index, range(2**32, 2**32 + 130), SIGMA))
        for statement in (LEAF, COARSE):
            counts = labels[statement.key].bincount(minlength=2)
            top, second = (int(c) for c in counts.sort(descending=True).values[:2])
            # Twice the upper tail is the two-sided p-value of a symmetric binomial law.
            p_value = min(1.0, 2 * binom.sf(top - 1, top + second, 0.5))
            vote = votes[statement.key]
            assert (vote.prediction, vote.count, vote.runner_up) == (int(counts.argmax()), top, second)
            assert vote.p_value == pytest.approx(p_value)
            assert vote.abstain == (p_value > 0.1)
            seen.add((vote.abstain, vote.p_value < 0.3))
    assert seen == {(True, False), (True, True), (False, True)}


def test_an_ancestor_never_gets_less_than_its_descendant():
    for leaf, coarse in certify(two_levels, samples(20), [LEAF, COARSE], PLAN):
        if coarse.prediction == leaf.prediction // 2:
            assert coarse.radius >= leaf.radius


def test_more_samples_and_less_alpha_order_the_radius():
    def radius(**changes):
        [[record]] = certify(two_levels, samples(1), [COARSE], dataclasses.replace(PLAN, **changes))
        assert record.prediction == 1
        return record.radius

    assert radius() > 0
    assert radius(alpha=1e-4) < radius() < radius(n=2000)


def test_errors_say_what_was_expected():
    for changes in ({"sigma": 0.0}, {"alpha": 0.0}, {"alpha": 1.5}, {"n": 0}, {"n0": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match="expected"):
            dataclasses.replace(PLAN, **changes)
    small = dataclasses.replace(PLAN, n=7)
    with pytest.raises(ValueError, match=r"expected n >= 8 to certify anything .* shared by 2"):
        certify(two_levels, samples(), [LEAF, COARSE], small)
    assert len(list(certify(two_levels, samples(), [LEAF], small))) == 5
    with pytest.raises(ValueError, match="distinct keys"):
        certify(two_levels, samples(), [LEAF, LEAF], PLAN)
    with pytest.raises(ValueError, match="expected batch_size"):
        certify(two_levels, samples(), [LEAF], PLAN, batch_size=0)
    for image in (torch.ones(1, 2, 3) * 1.1, torch.full((1, 2, 3), float("nan")), torch.ones(2, 3)):
        with pytest.raises(ValueError, match="expected image 4 as"):
            list(certify(two_levels, [Sample(4, image, {LEAF.key: 0})], [LEAF], PLAN))
    for answer, text in [
        (lambda x: {}, "expected classify to return labels"),
        (lambda x: {LEAF.key: torch.zeros(len(x))}, "integer labels"),
        (lambda x: {LEAF.key: torch.zeros(3, dtype=torch.long)}, "integer labels"),
        (lambda x: {LEAF.key: torch.full((len(x),), 4)}, "expected labels of statement"),
    ]:
        with pytest.raises(ValueError, match=text):
            list(certify(answer, samples(), [LEAF], PLAN))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_device():
    assert rows(device="cuda", threads=2) == rows()
