"""Alignment of pictures of changes with the rotations that certificates make: value, gradient, draws, a run."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_cases import SmallModel
from PIL import Image
from torch import Tensor

from hrvlm.certificates import AffineScorer, semantic_partition
from hrvlm.data.folder import FolderDataModule
from hrvlm.objectives.path_alignment import path_misalignment
from hrvlm.training.path_alignment import AlignmentTerm
from hrvlm.training.settings import PathAlignment
from hrvlm.trees import load_forest

CHANGE = {"name": "dark", "target": "a dark picture of a {}"}


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_pictures_on_the_path_of_the_certificate_cost_nothing() -> None:
    features, source, target, classes = (numbers(n, 12, seed=seed) for seed, n in enumerate((40, 40, 40, 5)))
    partition = semantic_partition(
        AffineScorer.cosine(classes / classes.norm(dim=1, keepdim=True)), features, source, target
    )
    shares = torch.linspace(0, 1, 40, dtype=torch.float64)
    # Turned by hand, without the certificate's code: the part in the plane of the prompts moves, the rest stays.
    e1 = source / source.norm(dim=-1, keepdim=True)
    e2 = target - (target * e1).sum(-1, keepdim=True) * e1
    e2 = e2 / e2.norm(dim=-1, keepdim=True)
    first, second = (features * e1).sum(-1, keepdim=True), (features * e2).sum(-1, keepdim=True)
    angle = (partition.start + shares * (partition.stop - partition.start))[:, None]
    radius = first.hypot(second)
    there = features - first * e1 - second * e2 + radius * (angle.cos() * e1 + angle.sin() * e2)
    assert float(path_misalignment(3 * there, features, source, target, shares)) == pytest.approx(0, abs=1e-12)
    assert float(path_misalignment(-there, features, source, target, shares)) == pytest.approx(2)
    earlier = path_misalignment(there, features, source, target, shares * 0.9)
    assert 1e-4 < float(earlier) < 0.1
    each = [path_misalignment(there[[i]] + 1, features[[i]], source[i], target[i], shares[[i]]) for i in range(40)]
    whole = path_misalignment(there + 1, features, source, target, shares)
    assert float(whole) == pytest.approx(float(torch.stack(each).mean()))


def test_the_gradient_is_that_of_the_pictures_alone() -> None:
    source, target, images, shown = numbers(5, seed=0), numbers(5, seed=1), numbers(4, 5, seed=2), numbers(4, 5, seed=3)
    shares = torch.tensor([0.1, 0.4, 0.7, 1.0], dtype=torch.float64)
    for given in (source, target, images, shown):
        given.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: path_misalignment(x, images, source, target, shares), (shown,))
    path_misalignment(shown, images, source, target, shares).backward()
    assert shown.grad is not None
    assert source.grad is target.grad is images.grad is None


def test_pictures_without_a_place_count_for_nothing() -> None:
    source, images, shown = numbers(5, seed=0), numbers(4, 5, seed=2), numbers(4, 5, seed=3).requires_grad_()
    shares = torch.full((4,), 0.5, dtype=torch.float64)
    parallel = path_misalignment(shown, images, source, 2 * source, shares)
    parallel.backward()
    assert float(parallel.detach()) == 0.0
    assert not bool(shown.grad.any())  # type: ignore[union-attr]
    target = numbers(5, seed=1)
    lost = images.clone()
    lost[1] = math.nan
    some = [0, 2, 3]
    expected = path_misalignment(shown[some], images[some], source, target, shares[some])
    assert float(path_misalignment(shown, lost, source, target, shares).detach()) == pytest.approx(
        float(expected.detach())
    )
    with pytest.raises(ValueError, match="expected as many pictures as images and shares"):
        path_misalignment(shown, images[:2], source, target, shares)


class Talking(SmallModel):
    """Small, and able to say that it can tell prompts."""

    def check_prompts(self, texts: list[str], what: str) -> None:
        del texts, what

    def encode_image(self, images: Tensor) -> Tensor:
        return super().encode_image(torch.nn.functional.adaptive_avg_pool2d(images, 8))


@pytest.fixture
def sequences(tmp_path: Path, pictures: Path) -> Path:
    """Pictures of ants and bees turned dark in three steps; of no other class."""
    rows = []
    for name, step in [(name, step) for name in ("ant", "bee") for step in range(4)]:
        file = tmp_path / f"{name}{step}.png"
        with Image.open(pictures / name / "0.png") as image:
            image.point(lambda value, step=step: int(value * (1 - 0.3 * step))).save(file)
        rows.append(f"{file},{name},{step}")
    manifest = tmp_path / "steps.csv"
    manifest.write_text("path,label,step\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return manifest


@pytest.fixture
def data(pictures: Path) -> FolderDataModule:
    module = FolderDataModule(
        train_folder=str(pictures), evaluation_folders={"validation": str(pictures)}, image_size=32, num_workers=0
    )
    module.setup("fit")
    return module


def term(data: FolderDataModule, tree_file: Path, **settings: Any) -> tuple[AlignmentTerm, Talking]:
    torch.manual_seed(0)
    model, found = Talking(), AlignmentTerm(PathAlignment(**settings), 3)
    found.prepare(model, data, load_forest([str(tree_file)], leaves=data.class_ids))  # type: ignore[arg-type]
    return found, model


def test_what_is_shown_is_drawn_by_address(data: FolderDataModule, tree_file: Path, sequences: Path) -> None:
    changes = [CHANGE | {"name": name, "sequence": str(sequences)} for name in ("dark", "darker")]
    found, model = term(data, tree_file, attributes=_attributes(changes), share=1.0)
    whole = {(one.place, one.change.name, one.step, one.share) for one in found.drawn(list(range(32)), 2)}
    assert {place for place, *_ in whole} == set(range(8))  # four ants and four bees; others have no pictures
    assert {share for *_, share in whole} <= {1 / 3, 2 / 3, 1.0}  # the image itself, share 0, is no step
    assert len({name for _, name, *_ in whole}) == 2
    assert len({step for *_, step, _ in whole}) == 3
    turned = found.drawn([9, 5, 0, 7], 2)
    assert {([9, 5, 0, 7][one.place], one.change.name, one.step, one.share) for one in turned} <= whole
    assert len(turned) == 3
    later = {(one.place, one.change.name, one.step, one.share) for one in found.drawn(list(range(32)), 3)}
    assert later != whole
    half = replace(found.alignment, share=0.5)
    fewer = AlignmentTerm(half, 3)
    fewer.prepare(model, data, load_forest([str(tree_file)], leaves=data.class_ids))  # type: ignore[arg-type]
    assert {one.place for one in fewer.drawn([0, 1, 2, 3, 4], 0)} == {0, 1, 2}


def test_the_term_is_the_misalignment_of_pictures_named_by_their_class(
    data: FolderDataModule, tree_file: Path, sequences: Path
) -> None:
    changes = _attributes([CHANGE | {"sequence": str(sequences)}])
    found, model = term(data, tree_file, attributes=changes, share=1.0, weight=2.5)
    indices = [20, 5, 1, 6]
    plain = data.training_set.data
    batch = {
        "image": torch.rand(4, 3, 32, 32), "label": torch.tensor([plain[i][1] for i in indices]),
        "index": torch.tensor(indices),
    }  # fmt: skip
    drawn = found.drawn(indices, 1)
    expected = []
    for one in drawn:
        index = indices[one.place]
        name = ["ant", "bee"][plain[index][1]]
        prompts = [model.project_text(model.text_hidden([f"a {word}picture of a {name}"]))[0] for word in ("", "dark ")]
        picture = found._pictures.pictures(changes[0], index)[one.step]
        features, shown = (model.encode_image(image[None]) for image in (plain[index][0], picture))
        expected.append(path_misalignment(shown, features, *prompts, torch.tensor([one.share])).item())
    assert len(expected) == 3
    loss, logs = found.added((torch.tensor(1.0), {"loss": torch.tensor(1.0)}), model, batch, 1)  # type: ignore[arg-type]
    assert float(logs["path_misalignment"]) == pytest.approx(sum(expected) / 3, rel=1e-4)
    assert float(loss.detach()) == float(logs["loss"]) == pytest.approx(1 + 2.5 * sum(expected) / 3, rel=1e-4)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.image.parameters())
    assert model.text_projection.weight.grad is None
    batch |= {"index": torch.tensor([20, 21, 22, 23])}
    assert found.loss(model, batch, 0).item() == 0.0  # type: ignore[arg-type]


def test_prompts_follow_the_model_to_its_device(data: FolderDataModule, tree_file: Path, sequences: Path) -> None:
    found, model = term(data, tree_file, attributes=_attributes([CHANGE | {"sequence": str(sequences)}]), share=1.0)
    there = torch.device("meta")  # any but the one where prompts were read
    prompts = ["a picture of a ant", "a dark picture of a bee"]
    assert found._embedded(model.to(there), prompts, there).device == there  # type: ignore[arg-type]


def _attributes(given: list[dict[str, Any]]) -> list[Any]:
    from hrvlm.certificates import Attribute

    return [Attribute(**one) for one in given]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weight": -1.0}, "expected weight >= 0 and finite of the path alignment, got -1.0"),
        ({"share": 0.0}, r"expected share in \(0, 1\] of the path alignment, got 0.0: leave the alignment out"),
        ({"library": {}}, "expected changes with different names, at least one, got"),
        ({"sequences": {}}, "expected pictures of change 'size: small' in order"),
    ],
)
def test_settings_that_align_nothing_are_refused(settings: dict[str, Any], words: str) -> None:
    from hrvlm.training.pictured_changes import AppearanceSequence

    good = {"library": {"size": ["small"]}, "sequences": {"size: small": AppearanceSequence(stop={"size": 0.5})}}
    PathAlignment(**good)
    with pytest.raises(ValueError, match=words):
        PathAlignment(**good | settings)
    shown = _attributes([CHANGE | {"appearances": [{"brightness": 0.5}], "sequence": "steps.csv"}])
    with pytest.raises(ValueError, match="expected changes whose end words name in the path alignment, got 'dark'"):
        PathAlignment(attributes=shown)


def test_data_that_cannot_show_a_change_are_refused(data: FolderDataModule, tree_file: Path) -> None:
    from hrvlm.training.pictured_changes import AppearanceSequence

    settings = {"library": {"size": ["small"]}, "sequences": {"size: small": AppearanceSequence(stop={"size": 0.5})}}
    with pytest.raises(ValueError, match=r"expected data that can be shown in several ways .* got FolderDataset"):
        term(data, tree_file, **settings)


def misalignments(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row["train/path_misalignment"]) for row in csv.DictReader(file) if row["train/path_misalignment"]]


def test_a_run_pulls_pictures_onto_the_path_and_is_gone_on_with(
    tmp_path: Path, make_settings: Callable[[Path], dict[str, Any]], run_train: Callable[..., Path], sequences: Path
) -> None:
    chosen = make_settings(tmp_path)
    chosen["trainer"]["callbacks"] = chosen["trainer"]["callbacks"][2:3]
    chosen["trainer"] |= {"max_epochs": 2, "limit_val_batches": 0}
    changes = [CHANGE | {"sequence": str(sequences)}]
    chosen["model"]["init_args"]["trained"] = {
        "alignment": {"attributes": changes, "weight": 50.0, "share": 1.0},
        "weight_perturbation": {"gamma": 0.001},
    }
    folder = run_train(tmp_path, chosen)
    seen = misalignments(folder)
    assert len(seen) == 8
    assert sum(seen[4:]) < 0.7 * sum(seen[:4])
    again = run_train(tmp_path, chosen, "--ckpt_path", str(folder / "checkpoints" / "0.ckpt"))
    assert misalignments(again) == seen[4:]
    first, second = (
        torch.load(run / "checkpoints" / "1.ckpt", weights_only=True)["state_dict"] for run in (folder, again)
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
