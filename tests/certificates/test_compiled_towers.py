"""Certification with an image tower that is compiled for whole batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from hrvlm.certificates.images import CertificationPlan
from hrvlm.certificates.run.images import certify_images
from hrvlm.data import emoji
from hrvlm.models import HierarchicalClassifier, compilation, inference_copy, load
from hrvlm.models.compilation import compile_batches
from hrvlm.trees import load_forest

PLAN = CertificationPlan(sigma=0.1, n0=10, n=40, batch_size=32, semantic=False)


@pytest.fixture(scope="module")
def packaged() -> HierarchicalClassifier:
    """The packaged model at two levels of its tree."""
    loaded = load("emoji")
    forest = load_forest(["trees/emoji_unicode.yaml"], leaves=emoji("unseen_artist").class_names, num_levels=2)
    return HierarchicalClassifier(loaded.model, loaded.head, forest)


def rows(classifier: HierarchicalClassifier, plan: CertificationPlan) -> list[dict[str, Any]]:
    found = certify_images(classifier, emoji("unseen_artist"), [0, 7, 20], plan)
    return [record.to_row() for records in found for record in records]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # the compiler itself looks at it
def test_rows_are_those_of_the_plain_tower(packaged: HierarchicalClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def compiled(call: Any, backend: str, **options: Any) -> Any:
        assert (backend, options) == ("eager", {"dynamic": False})
        whole = torch.compile(call, backend=backend, **options)
        return lambda images: sizes.append(len(images)) or whole(images)

    monkeypatch.setattr(compilation, "compiled", compiled)
    found = rows(packaged, replace(PLAN, compile_backend="eager"))
    assert sizes == [32] * (150 // 32)  # the rest of the 3 x 50 draws makes no whole batch
    assert found == rows(packaged, PLAN)
    assert "forward" not in vars(packaged.model.clip.visual)


def test_answers_of_whole_batches_are_not_overwritten(packaged: HierarchicalClassifier) -> None:
    tower = inference_copy(packaged).model.clip.visual
    images = torch.rand(2, 4, 3, 64, 64)
    expected = [tower(part) for part in images]
    place = torch.empty_like(expected[0])

    def overwriting(call: Any, backend: str, **options: Any) -> Any:
        return lambda pixels: place.copy_(call(pixels))  # as CUDA graphs do

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compilation, "compiled", overwriting)
        compile_batches(tower, 4, "inductor")
    torch.testing.assert_close([tower(part) for part in images], expected)


def test_plans_that_cannot_be_compiled_are_refused(packaged: HierarchicalClassifier) -> None:
    with pytest.raises(ValueError, match="expected a batch_size beside compile_backend"):
        replace(PLAN, batch_size=None, compile_backend="inductor")
    with pytest.raises(ValueError, match=r"expected compile_backend of .*inductor.*got 'fast'"):
        rows(packaged, replace(PLAN, compile_backend="fast"))
