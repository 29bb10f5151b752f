"""What the explorer computes: as commands and a reckoning by hand find it, without any interface."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from hrvlm.attacks.threat_model import ThreatModel
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.kinds.profile.options import ProfileOptions
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.certificates.run.images import certify_images
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.certificates.statistics.anytime import anytime_lower
from hrvlm.certificates.statistics.claim import derive
from hrvlm.evaluation.source_options import flat_forest
from hrvlm.explorer import attacks, extents, fragments, inputs, votes
from hrvlm.explorer.exploring import Exploration, SharedModel, Start
from hrvlm.explorer.preparing import prepared
from hrvlm.models import HierarchicalClassifier, LoadedModel, PoincareHead, load
from hrvlm.trees import load_forest

SOURCE, TARGET = "a picture of a {}", "a dark picture of a {}"


@pytest.fixture(scope="module")
def shared(tiny_model: Path) -> SharedModel:
    return SharedModel(load(tiny_model))


@pytest.fixture(scope="module")
def classifier(shared: SharedModel, tree_file: Path) -> HierarchicalClassifier:
    return shared.classifier("", [str(tree_file)])


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand((3, 32, 32), generator=torch.Generator().manual_seed(3))


def png(size: tuple[int, int] = (40, 20)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (255, 0, 0)).save(out, format="PNG")
    return out.getvalue()


def test_a_picture_becomes_the_square_that_the_model_sees() -> None:
    found = inputs.picture_of(png(), 16)
    assert found.shape == (3, 16, 16)
    assert torch.equal(found, torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, 16, 16))


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"no picture", "expected a readable image to explore"), (b"0" * (inputs.LARGEST_FILE + 1), "at most 20 MB, got")],
)
def test_what_is_no_picture_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        inputs.picture_of(content, 16)


def test_classes_come_by_name_or_by_trees(tree_file: Path) -> None:
    assert inputs.forest_of("ant, bee", [], None).leaves == ("ant", "bee")
    tree = str(tree_file)
    assert len(inputs.forest_of("", [tree], None).leaves) == 8
    assert inputs.forest_of("", [tree], ("elm", "ant")).leaves == ("elm", "ant")
    assert len(inputs.forest_of("", [tree], ("elm", "unknown")).leaves) == 8
    with pytest.raises(ValueError, match="at least 2 classes"):
        inputs.forest_of("ant", [], None)
    with pytest.raises(ValueError, match="at most 1000 class names, got 1001; use a tree file"):
        inputs.forest_of(",".join(map(str, range(1001))), [], None)
    with pytest.raises(ValueError, match="name of a packaged picture by twemoji"):
        inputs.packaged_picture("no such thing")


def test_extents_are_those_of_a_run(classifier: HierarchicalClassifier, image: torch.Tensor) -> None:
    picture = extents.EmbeddedPicture(classifier, image)
    change = Attribute(name=extents.CHANGE, source=SOURCE, target=TARGET)
    plan = CertificationPlan(smoothing=False, attributes=[change])
    expected = next(certify_images(classifier, [(image, -1)], [0], plan))
    found = picture.records(SOURCE, TARGET)
    assert [each.to_row() for each in found] == [each.to_row() for each in expected]
    (bars,) = picture.extents(SOURCE, TARGET).values()
    assert [bar.name for bar in bars] == [classifier.name(key) for key in classifier.keys]
    assert all(bar.pieces[-1][0] == pytest.approx(1.0) for bar in bars)
    assert picture.predictions()[bars[0].name] == picture.noun == bars[0].pieces[0][1]


@pytest.mark.parametrize(
    ("source", "target", "said"), [("a {}", "a dog", 'expected one "{}"'), ("a {}", "a  {}", "the same")]
)
def test_prompts_that_say_nothing_are_refused(
    classifier: HierarchicalClassifier, image: torch.Tensor, source: str, target: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        extents.EmbeddedPicture(classifier, image).records(source, target)


PARENTS = [0, 0, 1]


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        ([(1.0, 0)], [(1.0, 0)], []),
        ([(1.0, 2)], [(1.0, 0)], [(0.0, 1.0)]),
        ([(0.5, 0), (1.0, 2)], [(1.0, 0)], [(0.5, 1.0)]),
        ([(0.25, 0), (1.0, 2)], [(0.75, 0), (1.0, 1)], [(0.25, 0.75)]),
        ([(0.2, 2), (0.4, 2), (1.0, 1)], [(1.0, 0)], [(0.0, 0.4)]),
        ([(0.2, 2), (0.6, 0), (1.0, 2)], [(1.0, 0)], [(0.0, 0.2), (0.6, 1.0)]),
        ([], [(1.0, 0)], []),
        ([(1.0, 0)], [], []),
    ],
)
def test_contradictions_of_levels(
    lower: Sequence[tuple[float, int]], upper: Sequence[tuple[float, int]], expected: list[tuple[float, float]]
) -> None:
    assert extents.contradictions(lower, upper, PARENTS) == expected


@pytest.fixture(scope="module")
def voted(classifier: HierarchicalClassifier, image: torch.Tensor) -> list[votes.Vote]:
    return list(votes.growing_vote(classifier, image, votes.vote_plan(sigma=0.05, n=200, n0=8, alpha=0.05)))


def test_a_vote_grows_and_its_last_counts_are_those_of_a_run(
    classifier: HierarchicalClassifier, image: torch.Tensor, voted: list[votes.Vote]
) -> None:
    assert [vote.n for vote in voted] == [64, 128, 192, 200]
    assert [bool(vote.profiles) for vote in voted] == [False, False, False, True]
    plan = CertificationPlan(
        semantic=False, sigma=0.05, n0=8, n=200, alpha=0.05, profile=ProfileOptions(), batch_size=32, attributes=[]
    )
    expected = next(certify_images(classifier, [(image, -1)], [0], plan))
    counted = [each for each in expected if isinstance(each, SmoothingRecord)]
    assert [(r.prediction, r.count, r.n) for r in voted[-1].levels] == [(r.prediction, r.count, r.n) for r in counted]
    profiles = [each.to_row() for each in expected if not isinstance(each, SmoothingRecord)]
    assert [each.to_row() for each in voted[-1].profiles] == profiles


def test_bounds_of_a_growing_vote_hold_at_all_times_together(voted: list[votes.Vote]) -> None:
    """Each is the anytime-valid one at the level's share of alpha, below that of a number fixed before."""
    for vote in voted:
        for level in vote.levels:
            share = 0.05 / len(vote.levels)
            assert level.method == "anytime"
            assert level.lower == anytime_lower(level.count, vote.n, share)
            given = {"count": level.count, "runner_up": None, "n": vote.n, "alpha": share, "sigma": 0.05}
            assert level.lower < derive("clopper-pearson", level.split, **given).lower


def test_a_vote_that_can_certify_nothing_is_refused(classifier: HierarchicalClassifier, image: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="every image would abstain"):
        next(votes.growing_vote(classifier, image, votes.vote_plan(sigma=0.05, n=2, alpha=0.01)))
    with pytest.raises(ValueError, match="expected n from 1 to 100,000"):
        votes.vote_plan(sigma=0.05, n=200_000, alpha=0.01)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 8 / 255), ("l2", 0.5)])
def test_an_attack_stays_within_its_budget(
    classifier: HierarchicalClassifier, image: torch.Tensor, norm: str, eps: float
) -> None:
    budget = ThreatModel(norm, eps)  # type: ignore[arg-type]
    found = attacks.attack_picture(classifier, image, classifier.keys[0], budget, 5)
    budget.check(found.image[None], image[None])
    assert 0 < found.distance <= eps
    assert float((found.difference - 0.5).abs().max()) == pytest.approx(0.5)
    assert torch.allclose((found.difference - 0.5) / found.gain, found.image - image, atol=1e-6)
    before, after = (classifier.predict(each[None]) for each in (image, found.image))
    for key, (name, first, last) in zip(classifier.keys, found.levels, strict=True):
        names = classifier.forest[0].levels[key.level].names
        assert (name, first, last) == (classifier.name(key), names[int(before[key])], names[int(after[key])])
    assert found.broken == (found.levels[0][1] != found.levels[0][2])


def test_no_budget_changes_nothing(classifier: HierarchicalClassifier, image: torch.Tensor) -> None:
    found = attacks.attack_picture(classifier, image, classifier.keys[0], ThreatModel("linf", 0.0), 3)
    assert torch.equal(found.image, image)
    assert not found.broken
    assert torch.equal(found.difference, torch.full_like(image, 0.5))
    with pytest.raises(ValueError, match="expected steps from 1 to 200"):
        attacks.attack_picture(classifier, image, classifier.keys[0], ThreatModel("linf", 0.0), 0)


def test_words_of_users_are_no_markup(shared: SharedModel, image: torch.Tensor) -> None:
    bad = "<img src=x>"
    classifier = shared.classifier(f"{bad}, an <b>apple</b>", [])
    bars = extents.EmbeddedPicture(classifier, image).extents(SOURCE, TARGET)
    (vote,) = votes.growing_vote(classifier, image, votes.vote_plan(sigma=0.05, n=20, n0=4, alpha=0.1))
    attacked = attacks.attack_picture(classifier, image, classifier.keys[0], ThreatModel("linf", 0.01), 2)
    written = [
        *(fragments.extent_bars(each) for each in bars.values()), fragments.vote_table(vote, [bad]),
        fragments.vote_curves([vote], [bad]), fragments.profile_bars(vote.profiles), fragments.note(bad),
        fragments.attack_result(image, attacked, bad), fragments.sentences([bad]), fragments.predictions({bad: bad}),
    ]  # fmt: skip
    for text in written:
        assert "<img src=x" not in text
        assert "<b>apple" not in text


def test_pictures_are_shown_to_the_last_pixel(image: torch.Tensor) -> None:
    from base64 import b64decode

    text = fragments.figure(image, "clean").partition("base64,")[2].partition('"')[0]
    shown = torch.tensor(list(Image.open(io.BytesIO(b64decode(text))).tobytes())).view(32, 32, 3)
    assert torch.equal(shown, (image * 255).round().permute(1, 2, 0).long())


def test_contradicting_levels_are_named(classifier: HierarchicalClassifier, image: torch.Tensor) -> None:
    (bars,) = extents.EmbeddedPicture(classifier, image).extents(SOURCE, TARGET).values()
    marked = [
        extents.LevelExtent(name="a/b", record=bars[0].record, pieces=bars[0].pieces, contradictions=[(0.25, 0.5)])
    ]
    shown = fragments.extent_bars(marked)
    assert "Contradicts the level below: a/b." in shown
    assert '<span class="against" style="left:25.000%;width:25.000%"' in shown
    assert "Contradicts" not in fragments.extent_bars([bars[0]])


def test_an_exploration_goes_from_picture_to_attack(shared: SharedModel, tree_file: Path) -> None:
    exploration = Exploration(shared)
    with pytest.raises(ValueError, match="expected a picture, got none"):
        exploration.choose("ant, bee", [])
    exploration.open(png())
    with pytest.raises(ValueError, match="expected a picture and classes"):
        exploration.chosen.extents(SOURCE, TARGET)
    found = exploration.choose("ant, bee", [str(tree_file)])
    chosen = exploration.chosen
    assert list(found) == chosen.levels
    assert len(chosen.levels) == 2
    assert [vote.n for vote in chosen.votes(sigma=0.1, n=70, alpha=0.1)] == [64, 70]
    with pytest.raises(ValueError, match="expected a level of"):
        chosen.attack("other", norm="linf", eps=1.0, steps=1)
    attacked = chosen.attack(chosen.levels[1], norm="linf", eps=255.0 / 4, steps=2)
    assert attacked.distance <= 0.25
    assert exploration.choose("ant, bee", []).keys() == {"class"}
    assert not exploration.looks_at(chosen)
    exploration.forget()
    with pytest.raises(ValueError, match="expected a picture and classes"):
        exploration.chosen.extents(SOURCE, TARGET)


def test_trees_that_a_head_has_too_few_levels_for_are_asked_by_cosines(tiny_model: Path, tree_file: Path) -> None:
    """A head of one level knows no text scale for the second."""
    model, forest = load(tiny_model).model, load_forest([tree_file])
    heads = [PoincareHead(image_scale=1.0, text_scales=scales) for scales in ([1.0, 0.8], [1.0])]
    chosen = [inputs.classifier_of(LoadedModel(model, head, None), forest).head for head in heads]
    assert chosen[0] is heads[0]
    assert chosen[1].scorer == "cosine"


def test_what_a_page_begins_with(tiny_model: Path, tree_file: Path) -> None:
    with pytest.raises(ValueError, match="expected trees or classes to begin with, got both"):
        prepared(str(tiny_model), trees=["emoji_unicode"], classes="a, b")
    _, start = prepared(str(tiny_model), classes="ant, bee, cat", sigma=0.2)
    assert (start.trees, start.classes, start.sigma) == ([], "ant, bee, cat", 0.2)
    with pytest.raises(ValueError, match="sigma"):
        Start(sigma=math.nan)
    assert flat_forest(inputs.chosen_classes(start.classes.split(","))).leaves == ("ant", "bee", "cat")
