from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import binom, norm

from hrvlm.certificates import (
    Sample,
    SmoothingPlan,
    Statement,
    certify,
    clopper_pearson_lower,
    gaussian,
    record_from_row,
    summarise,
    verify_rows,
)
from hrvlm.certificates.kinds.profile.certify import Profiler
from hrvlm.certificates.kinds.profile.claim import (
    certifying_count,
    chain_of,
    choose_budget,
    counts_along,
    deepest_certified,
    node_counts,
    profile_radii,
)
from hrvlm.certificates.kinds.profile.options import ProfileOptions
from hrvlm.certificates.kinds.profile.record import FREE_CHAIN, SAME_CHAIN, SEPARATE_CHAIN
from hrvlm.certificates.kinds.profile.report import REPORT
from hrvlm.trees import ClassTree, Node
from hrvlm.trees.tree import TreeInfo

SIGMA = 0.25
PARENTS = {"ant": "bug", "bee": "bug", "cat": "beast", "dog": "beast", "elm": "plant", "fir": "plant"}
NODES = [Node(id=i, name=i, parent=None) for i in ("animal", "plant")]
NODES += [Node(id=i, name=i, parent="animal") for i in ("bug", "beast")]
NODES += [Node(id=i, name=i, parent=parent) for i, parent in PARENTS.items()]
TREE = ClassTree.from_nodes(NODES)
FLAT = ClassTree.from_nodes(
    [Node(id=i, name=i, parent=None) for i in ("early", "late")]
    + [Node(id=i, name=i, parent="early" if i < "d" else "late") for i in PARENTS],
    TreeInfo(name="alphabet"),
)
LEAF = Statement("leaf", TREE.name, 0, "leaf", 6)
PLAN = SmoothingPlan(sigma=SIGMA, n0=20, n=300, alpha=0.01, seed=3)


def sixths(images):
    """Six leaves by the brightness of one pixel; -1 for very bright ones."""
    leaf = (images[:, 0, 0, 0] * 6).long().clamp(0, 5)
    return {LEAF.key: torch.where(images[:, 0, 0, 0] > 1.4, -1, leaf)}


def samples(count=6):
    images = torch.rand(count, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    images[0], images[1] = 0.92, 0.25
    return [Sample(10 + i, image, {LEAF.key: int(sixths(image[None])[LEAF.key])}) for i, image in enumerate(images)]


def profiles(plan=PLAN, radii=(), trees=(TREE,), **options):
    profiler = Profiler(trees, LEAF.key, plan, ProfileOptions(radii=list(radii)))
    run = certify(sixths, samples(), [LEAF], plan, profiler=profiler, **options)
    return [record for records in run for record in records if record.kind == "profile"]


def test_vectors_of_the_count_for_a_radius():
    assert [certifying_count(1000, 1e-3, norm.cdf(r)) for r in (0.5, 1.0)] == [737, 877]
    for alpha, n, p in [(0.01, 100, 0.5), (0.05, 31, 0.6), (1e-3, 7, 0.9), (0.2, 1, 0.5)]:
        errors = [binom.sf(k - 1, n, p) + binom.sf(k - 1, n, 1 - p) for k in range(1, n + 1)]
        assert certifying_count(n, alpha, p) == next((k for k, e in enumerate(errors, 1) if e <= alpha), n + 1)
    assert certifying_count(50, 0.01, 1.0) == 51
    # The correction of levels is small: n = 1000, r = 1 at 1, 4 and 8 levels.
    bounds = {d: clopper_pearson_lower(np.arange(800, 900), 1000, 1e-3 / d) for d in (1, 4, 8)}
    assert [800 + int((bounds[d] >= norm.cdf(1)).argmax()) for d in (1, 4, 8)] == [877, 881, 883]


def test_node_counts_and_chains_agree_with_brute_force():
    table = TREE.ancestors.numpy()
    assert table.shape == (3, 6)
    random = np.random.default_rng(0)
    counts = random.multinomial(20, np.ones(6) / 6, size=(5, 40))
    found = node_counts(counts, table)
    chain = chain_of(found, table)
    along = counts_along(found, chain)
    for i in np.ndindex(5, 40):
        expected = [[int(counts[i][row == v].sum()) for v in range(row.max() + 1)] for row in table]
        assert [level[i].tolist() for level in found] == expected
        below, walk = range(6), []
        for level in (2, 1, 0):
            nodes = sorted({table[level][leaf] for leaf in below})
            node = max(nodes, key=lambda v, level=level: (expected[level][v], -v))
            below, walk = [leaf for leaf in below if table[level][leaf] == node], [node, *walk]
        assert chain[i].tolist() == walk
        assert along[i].tolist() == [expected[level][node] for level, node in enumerate(walk)]
        for level in range(3):  # whatever has more than half is on the chain
            assert all(walk[level] == v for v, c in enumerate(expected[level]) if c > 10)
    nothing = node_counts(np.zeros(6, dtype=int), table)
    assert chain_of(nothing, table).tolist() == [-1, -1, -1]


def test_radii_rise_towards_the_root_and_fixed_ones_reach_deeper():
    random = np.random.default_rng(1)
    along = np.sort(random.integers(0, 301, size=(200, 4)), axis=1)
    lower, radii = profile_radii(along, 300, 0.01, SIGMA)
    assert np.all(np.diff(radii, axis=1) >= 0)
    assert lower[0, 0] == clopper_pearson_lower(int(along[0, 0]), 300, 0.01 / 4)
    halved = profile_radii(along, 300, 0.01, SIGMA, same_samples=True)[0]
    bounds = np.asarray(clopper_pearson_lower(along, 300, 0.01 / 8))
    assert np.array_equal(halved, np.where(bounds > 0.5, bounds, 0.0))
    for r in (0.05, 0.3):
        fixed = deepest_certified(along, 300, 0.01, [r], SIGMA)[:, 0]
        free = np.where((radii >= r).any(1), (radii >= r).argmax(1), 4)
        assert np.all(np.where(fixed < 0, 4, fixed) <= free)
    assert [choose_budget(m, 4) for m in (0, 1, 4, 5)] == ["all radii", "fixed radii", "fixed radii", "all radii"]


@pytest.mark.parametrize("procedure", ["split", "shared", "two bounds"])
def test_profiles_count_the_samples_of_the_pass(procedure):
    plan = dataclasses.replace(PLAN, procedure=procedure)
    found = profiles(plan, trees=(TREE, FLAT))
    assert len(found) == 12
    for record in found:
        tree = TREE if record.tree == TREE.name else FLAT
        sample = next(s for s in samples() if s.index == record.index)
        start = 0 if procedure == "shared" else 20
        noise = gaussian((1, 2, 2), 3, sample.index, range(start + 300), SIGMA)
        labels = sixths(sample.image + noise)[LEAF.key]
        chooses = labels if procedure == "shared" else labels[:20]
        counted = labels[start:]
        table = tree.ancestors
        assert record.invalid == int((counted < 0).sum())
        for level, node in enumerate(record.chain):
            inside = torch.isin(counted, (table[level] == node).nonzero().squeeze(1))
            assert record.counts[level] == int(inside.sum())
        top = torch.stack([(table[-1][chooses[chooses >= 0]] == v).sum() for v in range(int(table[-1].max()) + 1)])
        assert record.chain[-1] == int(top.argmax())
        assert record.alpha_share == 0.01 / 2
        assert record.split == (SAME_CHAIN if procedure == "shared" else SEPARATE_CHAIN)
        share = 0.005 / len(record.chain) / (2 if procedure == "shared" else 1)
        bounds = [clopper_pearson_lower(count, 300, share) for count in record.counts]
        if procedure == "shared":
            bounds = [bound if bound > 0.5 else 0.0 for bound in bounds]
        assert record.lower == tuple(bounds)
        assert record.labels == tuple(table[:, sample.labels[LEAF.key]].tolist())


def test_the_profile_is_a_step_function_that_climbs():
    climbing = [record for record in profiles() if len(record.steps) > 1]
    assert climbing
    for record in climbing:
        levels = [record.deepest_at(r) for r in np.linspace(0, 1.2, 200)]
        assert levels[-1] == -1
        assert [level for level in levels if level >= 0] == sorted(level for level in levels if level >= 0)
        for radius, level in record.steps:
            assert record.deepest_at(radius) == level
            assert record.deepest_at(radius + 1e-9) != level
    fixed = profiles(radii=[0.2, 0.05])
    assert all(record.asked == (0.05, 0.2) and record.split == FREE_CHAIN for record in fixed)
    assert any(record.deepest_at(0.1) == record.deepest[1] != -1 for record in fixed)
    assert all(record.deepest_at(0.21) == -1 for record in fixed)
    assert profiles(radii=[0.1, 0.2, 0.3, 0.4])[0].budget == "all radii"


def test_rows_do_not_depend_on_batches_and_verify():
    for options in ({}, {"radii": [0.1, 0.2]}):
        rows = [record.to_row() for record in profiles(**options)]
        assert rows == [record.to_row() for record in profiles(**options, batch_size=7, threads=2)]
        assert verify_rows(rows) == []
        assert [record_from_row(row).to_row() for row in rows] == rows
        assert any(row["reason"] is None for row in rows)
        told = [record_from_row(row).statement for row in rows]
        assert any("up to" in text for text in told)


def test_summary_and_table():
    found = profiles(trees=(TREE, FLAT))
    wrong = next(i for i, record in enumerate(found) if record.tree == TREE.name and record.reason is None)
    level, labels = found[wrong].deepest_at(0.0), list(found[wrong].labels)
    labels[level] += 1  # certified, but as another node
    found[wrong] = dataclasses.replace(found[wrong], labels=tuple(labels))
    summary = summarise([record.to_row() for record in found], [0.0, 0.2])
    mine = [record for record in found if record.tree == TREE.name]
    numbers = summary["profile"][TREE.name]
    for radius in (0.0, 0.2):
        assert sum(numbers["deepest"][str(radius)].values()) == pytest.approx(1)
        for level in range(3):
            deepest = [record.deepest_at(radius) for record in mine]
            assert numbers["deepest"][str(radius)][str(level)] == deepest.count(level) / 6
            right = [r.chain[level] == r.labels[level] and 0 <= d <= level for r, d in zip(mine, deepest, strict=True)]
            assert numbers["levels"][str(level)]["certified_accuracy"][str(radius)] == sum(right) / 6
    assert REPORT.table(summary["profile"]).row_count == 4 + 3
    with pytest.raises(ValueError, match="one setting"):
        summarise([r.to_row() for r in (*mine[:1], *profiles(dataclasses.replace(PLAN, seed=4))[1:])], [0.0])


def certified(**options):
    return next(r for r in profiles(**options) if r.reason is None and r.invalid < 300 - r.counts[-1]).to_row()


@pytest.mark.parametrize(
    ("radii", "change", "field"),
    [
        ((), lambda r: {"radii": [x * 1.05 for x in r["radii"]]}, "radii"),
        ((), lambda r: {"lower": [x + 1e-6 for x in r["lower"]]}, "lower"),
        ((), lambda r: {"alpha": 0.005}, "alpha_share"),
        ((), lambda r: {"alpha_share": 0.02}, "alpha_share"),
        ((), lambda r: {"label_functions": 2}, "alpha_share"),
        ((), lambda r: {"counts": [r["counts"][0] - 1, *r["counts"][1:]]}, "lower"),
        ((), lambda r: {"counts": [c + 300 for c in r["counts"]]}, "counts"),
        ((), lambda r: {"counts": r["counts"][::-1][:1] + r["counts"][1:-1] + [0]}, "counts"),
        ((), lambda r: {"sigma": 0.2}, "radii"),
        ((), lambda r: {"n": 400}, "lower"),
        ((), lambda r: {"split": SAME_CHAIN, "n0": 0}, "lower"),
        ((), lambda r: {"split": SAME_CHAIN}, "n0"),
        ((), lambda r: {"correct": True, "label": 5 - r["prediction"]}, "prediction"),
        ((0.1, 0.2), lambda r: {"deepest": [0, 0], "asked": [0.1, 0.9]}, "deepest"),
        ((0.1, 0.2), lambda r: {"alpha_share": r["alpha_share"] * 1.5}, "alpha_share"),
        ((0.1, 0.2), lambda r: {"lower": [0.9, 0.9, 0.9]}, "radii"),
    ],
)  # fmt: skip
def test_a_row_that_claims_too_much_is_caught(radii, change, field):
    row = certified(radii=radii)
    assert verify_rows([row]) == []
    assert (field, True) in {(p.field, p.claims_too_much) for p in verify_rows([row | change(row)])}


def test_families_and_odd_rows_are_caught():
    row = certified()
    assert [p.field for p in verify_rows([row, row | {"tree": "other"}])] == ["num_statements"] * 2
    assert [p.field for p in verify_rows([row | {"budget": "fixed radii"}])] == ["row"]
    assert [p.field for p in verify_rows([row | {"reason": "why"}])] == ["reason"]
    assert [p.field for p in verify_rows([row | {"functions_chosen": "never"}])] == ["functions_chosen"]


def test_what_makes_no_profile_is_refused():
    adaptive = dataclasses.replace(PLAN, procedure="adaptive", goal=0.1)
    with pytest.raises(ValueError, match="adaptive"):
        profiles(adaptive)
    with pytest.raises(ValueError, match="nodes fork"):
        profiles(dataclasses.replace(PLAN, threshold=0.4))
    with pytest.raises(ValueError, match="different radii"):
        ProfileOptions(radii=[0.1, 0.1])
    given_up = profiles(dataclasses.replace(PLAN, procedure="pilot"))
    assert {record.n for record in given_up} == {0, 300}
    assert verify_rows([record.to_row() for record in given_up]) == []
