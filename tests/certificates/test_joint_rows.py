"""Joint certificates from images to rows: recounted by hand, whatever the batches; altered rows are caught."""

from __future__ import annotations

import json
import math
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from semantic_problems import CURV
from sweeps import sweep
from torch import Tensor

from hrvlm.certificates import (
    AffineScorer,
    Family,
    JointQuestions,
    JointRecord,
    JointSample,
    PromptPair,
    RecordWriter,
    SmoothingPlan,
    certify_jointly,
    gaussian,
    least_count,
    move_points,
    read_rows,
    record_from_row,
    smoothing_radius,
    summarise,
    verify_rows,
)
from hrvlm.certificates.kinds.summary import scalars
from hrvlm.certificates.statistics.radii import radius_probability
from hrvlm.cli.certify import main

DIMENSION, CLASSES = 6, 5
PLAN = SmoothingPlan(sigma=0.2, n0=10, n=120, alpha=0.05, seed=4)
QUESTIONS = JointQuestions(radii=[0.0, 0.1], extents=[0.0, 0.5], steps=40)


def orthogonal() -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.linalg.qr(torch.randn(12, DIMENSION, dtype=torch.float64))[0]


def encode(images: Tensor) -> Tensor:
    return (images.flatten(1).double() - 0.4) @ orthogonal()


def lift(kind: str) -> Any:
    def unit(features: Tensor) -> Tensor:
        return torch.nn.functional.normalize(features, dim=1)

    def ball(features: Tensor) -> Tensor:
        return torch.tanh(features.norm(dim=1, keepdim=True)) * unit(features) / math.sqrt(CURV) * 0.98

    return unit if kind == "cosine" else ball


def family(kind: str = "cosine", level: int = 0) -> Family:
    with torch.random.fork_rng():
        torch.manual_seed(level + 1)
        texts = torch.nn.functional.normalize(torch.randn(CLASSES, DIMENSION, dtype=torch.float64), dim=1)
    if kind == "poincare":
        texts *= 0.7 / math.sqrt(CURV)
        made = lambda points: AffineScorer.poincare(texts, points.double().norm(dim=1), CURV)  # noqa: E731
    else:
        made = lambda points: AffineScorer.cosine(texts)  # noqa: E731
    return Family(kind, "t", level, f"level {level}", CLASSES, lift(kind), made)


def samples(families: list[Family], count: int = 3, *, source: int = 4, target: int = 5) -> list[JointSample]:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        images = torch.rand(count, 3, 2, 2)
    basis = torch.eye(DIMENSION)
    changes = (PromptPair("size", ("a fox", "a big fox"), basis[source], basis[target]),)
    labels = {made.key: 1 for made in families}
    return [JointSample(index=i, image=image, labels=labels, changes=changes) for i, image in enumerate(images)]


def certified(families: list[Family], plan: SmoothingPlan = PLAN, **options: Any) -> list[JointRecord]:
    given = {"num_attributes": 1, "batch_size": 50} | options
    questions = given.pop("questions", QUESTIONS)
    chosen = given.pop("samples", samples(families))
    return [r for records in certify_jointly(encode, chosen, families, plan, questions, **given) for r in records]


def by_hand(sample: JointSample, made: Family, move: str) -> tuple[int, list[int]]:
    """The class, and how many copies keep it up to each step, by classifying a dense sequence of moves."""
    noise = gaussian((3, 2, 2), PLAN.seed, sample.index, range(PLAN.n0 + PLAN.n), PLAN.sigma)
    points = made.lift(encode(sample.image + noise))
    chosen = made.scorer(points).predict(points)[: PLAN.n0]
    label = int(torch.bincount(chosen, minlength=CLASSES).argmax())
    points, change = points[PLAN.n0 :], sample.changes[0]
    fine = torch.linspace(0, math.pi if move == "turn" else 1.0, 40 * 50 + 1, dtype=torch.float64)
    scorer = made.scorer(points.repeat(len(fine), 1))
    moved = move_points(points, change.source, change.target, fine, move=move)
    holds = scorer.predict(moved.flatten(0, 1)).reshape(len(fine), -1) == label
    reach = holds.int().cumprod(dim=0)[::50].sum(dim=1)
    return label, reach.tolist()


@pytest.mark.parametrize("kind", sweep(["cosine", "poincare"], quick=["poincare"]))
@pytest.mark.parametrize("move", ["turn", "target"])
def test_rows_are_what_counting_by_hand_gives(kind, move):
    families = [family(kind, 0), family(kind, 1)]
    questions = replace(QUESTIONS, move=move)
    given = samples(families, 6)
    found = certified(families, questions=questions, samples=given)
    assert len(found) == 12
    share = PLAN.alpha / (2 * 4)
    claimed = 0
    for record in found:
        sample = given[record.index]
        label, reach = by_hand(sample, families[record.level], move)
        assert record.prediction == label
        stated = np.cumsum(record.counts()[::-1])[::-1]
        assert stated.tolist() == reach
        assert (record.alpha_share, record.num_statements) == (share, 8)
        for radius, extent in record.at_radii:
            needed = least_count(PLAN.n, share, float(radius_probability(radius, PLAN.sigma)))
            steps = [step for step, count in enumerate(reach) if count >= needed]
            expected = steps[-1] * (math.pi if move == "turn" else 1.0) / 40 if steps else None
            assert extent == (pytest.approx(expected) if steps else None)
            claimed += extent is not None
        assert record.at_extents[0][1] == smoothing_radius(reach[0], PLAN.n, share, PLAN.sigma)
    assert claimed > 3
    assert verify_rows([r.to_row() for r in found]) == []


def test_rows_do_not_depend_on_batches_threads_or_other_images():
    families = [family("poincare"), family("cosine")]
    whole = certified(families)
    for changes in ({"batch_size": 7}, {"batch_size": 1000}, {"threads": 0}, {"threads": 3}):
        assert certified(families, **changes) == whole
    assert certified(families, samples=samples(families)[1:]) == [r for r in whole if r.index > 0]
    assert certified(families, replace(PLAN, seed=5)) != whole


def test_batches_are_of_one_image_and_bounded_and_memory_is_counts_alone():
    sizes = []

    def watched(images: Tensor) -> Tensor:
        sizes.append(len(images))
        return encode(images)

    families = [family()]
    list(certify_jointly(watched, samples(families), families, PLAN, QUESTIONS, num_attributes=1, batch_size=50))
    assert sizes == [43, 43, 44] * 3


def test_no_more_batches_and_features_are_kept_for_more_samples():
    def most_alive(n: int) -> int:
        refs: list[weakref.ref[Tensor]] = []
        alive = []

        def watched(images: Tensor) -> Tensor:
            features = encode(images)
            refs.extend((weakref.ref(images), weakref.ref(features)))
            alive.append(sum(ref() is not None for ref in refs))
            return features

        given = {"num_attributes": 1, "batch_size": 20}
        list(certify_jointly(watched, samples([family()], 2), [family()], replace(PLAN, n=n), QUESTIONS, **given))
        return max(alive)

    assert most_alive(1000) == most_alive(100) <= 4


def test_grid_noise_votes_and_thresholds():
    families = [family()]
    eight_bit = [replace(s, image=(s.image * 255).round() / 255) for s in samples(families)]
    for changes in ({"noise": "grid"}, {"threshold": 0.7}, {"votes": 101}, {"precision": "bfloat16"}):
        found = certified(families, replace(PLAN, **changes), samples=eight_bit)
        assert verify_rows([r.to_row() for r in found]) == []
        name, value = next(iter(changes.items()))
        assert name == "noise" or getattr(found[0], name) == value
    assert "8-bit" in certified(families, replace(PLAN, noise="grid"), samples=eight_bit)[0].float_mode
    strict = certified(families, replace(PLAN, threshold=0.7))
    for a, b in zip(strict, certified(families), strict=True):
        assert all((x or 0.0) <= (y or 0.0) for (_, x), (_, y) in zip(a.at_radii, b.at_radii, strict=True))


def test_prompts_that_span_no_plane_abstain_with_a_reason():
    families = [family()]
    found = certified(families, samples=samples(families, source=4, target=4))
    assert all(r.abstain and "parallel" in str(r.reason) for r in found)
    assert verify_rows([r.to_row() for r in found]) == []
    assert "nothing is certified" in found[0].statement


def test_misfit_arguments_are_refused():
    families = [family()]
    for changes, message in (
        ({"batch_size": 0}, "expected batch_size"),
        ({"num_attributes": 2}, "expected 2 changes of image 0"),
        ({"num_attributes": 0}, "num_attributes >= 1"),
    ):
        with pytest.raises(ValueError, match=message):
            certified(families, **changes)
    with pytest.raises(ValueError, match="expected different families"):
        certified([family(), family()])


@pytest.fixture(scope="module")
def record() -> JointRecord:
    made = certified([family()], samples=samples([family()], 30))
    return next(r for r in made if not r.abstain and (r.at_radii[1][1] or 0) > 0 and r.at_extents[1][1] > 0)


def test_rows_survive_a_file(record, tmp_path):
    with RecordWriter(tmp_path / "rows.jsonl") as writer:
        writer.write([record])
    assert record_from_row(read_rows(tmp_path / "rows.jsonl")[0]) == record
    assert (
        f"every image within r (L2) of this one, a share above 0.5 keeps class {record.prediction}" in record.statement
    )
    group = summarise([record.to_row()], [])["joint"]["t"]["0"]["size"]["cosine"]
    assert group["at_radii"]["0.1"]["certified_accuracy"] == float(record.correct)
    logged = scalars(summarise([record.to_row()], []))
    extent = record.at_radii[1][1] if record.correct else 0.0
    assert logged["certificates/joint/t/0/size/cosine/mean_extent_at_0.1"] == extent
    with pytest.raises(ValueError, match="expected one setting"):
        summarise([record.to_row(), replace(record, index=9, n0=11).to_row()], [])


def test_altered_rows_are_caught(record):
    row = record.to_row()
    (r0, e0), (r1, e1) = row["at_radii"]
    (x0, q0), (x1, q1) = row["at_extents"]
    histogram = row["histogram"]
    for changes, field, too_much in [
        ({"at_radii": [[r0, e0], [r1, e1 * 1.05]]}, "at_radii", True),
        ({"at_radii": [[r0, e0], [r1 * 2, e1]]}, "at_radii", True),
        ({"at_radii": [[r0, e0], [r1, e1 * 0.9]]}, "at_radii", False),
        ({"at_extents": [[x0, q0 * 1.05], [x1, q1]]}, "at_extents", True),
        ({"at_extents": [[x0, q0], [x1 * 4, q1]]}, "at_extents", True),
        ({"alpha_share": row["alpha_share"] * 2}, "alpha_share", True),
        ({"alpha": row["alpha"] / 2}, "alpha_share", True),
        ({"num_statements": 3, "alpha_share": row["alpha"] / 3}, "num_statements", True),
        ({"sigma": row["sigma"] * 1.05}, "at_extents", False),
        ({"sigma": row["sigma"] * 0.95}, "at_extents", True),
        ({"n": row["n"] + 40}, "at_extents", True),
        ({"steps": 39}, "row", False),
        ({"histogram": [*histogram[:-1], [histogram[-1][0], histogram[-1][1] + 1]]}, "count", True),
        ({"count": row["n"] + 1}, "count", True),
        ({"selection_count": 99}, "selection_count", True),
        ({"threshold": 0.6}, "at_radii", True),
        ({"threshold": 0.5, "votes": 101, "vote_error": 0.05}, "threshold", True),
        ({"votes": 101}, "votes", False),
        ({"split": "none"}, "split", False),
        ({"float_mode": "exact"}, "float_mode", False),
        ({"abstain": True}, "abstain", False),
        ({"prediction": -1, "label": -1, "correct": True}, "prediction", True),
        ({"correct": not row["correct"]}, "correct", not row["correct"]),
        ({"move": "up"}, "move", False),
    ]:
        found = {(problem.field, problem.claims_too_much) for problem in verify_rows([row | changes])}
        assert (field, too_much) in found, (changes, found)


@pytest.fixture(scope="module")
def config(tiny_model: Path, pictures: Path, tree_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = {"train_folder": str(pictures), "evaluation_folders": {"validation": str(pictures)}, "image_size": 32}
    plan = {
        "num_images": 4, "smoothing": False, "semantic": False, "joint": True, "sigma": 0.05, "n0": 8, "n": 60,
        "alpha": 0.1, "batch_size": 32, "attributes": [{"name": "dark", "target": "a dark picture of a {}"}],
        "joint_questions": {"radii": [0.01], "extents": [0.2], "steps": 32},
    }  # fmt: skip
    data = {"class_path": "hrvlm.data.folder.FolderDataModule", "init_args": folder | {"num_workers": 0}}
    path = tmp_path_factory.mktemp("joint") / "config.yaml"
    path.write_text(yaml.safe_dump({"data": data, "trees": [str(tree_file)], "plan": plan}), encoding="utf-8")
    return path


def run(config: Path, checkpoint: Path, output: Path, *more: str) -> list[str]:
    main(["run", "--config", str(config), "--checkpoint", str(checkpoint), "--output", str(output), *more])
    return (output / "certificates.jsonl").read_text(encoding="utf-8").splitlines()


def test_the_command_line_makes_verifies_and_resumes_joint_rows(config, tiny_model, tmp_path, capsys):
    lines = run(config, tiny_model, tmp_path / "a")
    rows = [json.loads(line) for line in lines]
    assert {(row["kind"], row["scorer"], row["level"]) for row in rows} == {
        ("joint", "cosine", 0),
        ("joint", "cosine", 1),
    }
    assert len(rows) == 8
    assert "Joint certificates" in capsys.readouterr().out
    main(["verify", str(tmp_path / "a")])
    assert "8 certificates, 0 that do not hold" in capsys.readouterr().out
    (tmp_path / "b").mkdir()
    for name in ("settings.json", "certificates.jsonl"):
        (tmp_path / "b" / name).write_bytes((tmp_path / "a" / name).read_bytes())
    (tmp_path / "b" / "certificates.jsonl").write_text("\n".join(lines)[: 5 * len(lines[0]) // 2], encoding="utf-8")
    assert sorted(run(config, tiny_model, tmp_path / "b")) == sorted(lines)


def test_a_head_in_the_ball_is_certified_with_and_without_plain_cosines(config, finished, tmp_path):
    checkpoint = finished.checkpoint(1)
    own = [json.loads(line) for line in run(config, checkpoint, tmp_path / "own")]
    assert {row["scorer"] for row in own} == {"poincare"}
    more = "--plan.joint_questions.plain_cosine=true"
    both = [json.loads(line) for line in run(config, checkpoint, tmp_path / "both", more)]
    assert {row["scorer"] for row in both} == {"poincare", "cosine"}
    assert {row["num_statements"] for row in both} == {2 * row["num_statements"] for row in own}
    assert verify_rows(own) == verify_rows(both) == []
