"""Pictures of numbers from 0 to 255 are refused where they enter, with what to do about them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from hrvlm.attacks import ThreatModel, pgd
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.run.images import certify_images
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.models import HierarchicalClassifier, cosine_head, load_model
from hrvlm.models.pixels import clean_picture
from hrvlm.trees import load_forest

BYTES = torch.full((3, 32, 32), 200, dtype=torch.uint8)
DIVIDE = r"divide numbers from 0 to 255 by 255"


@pytest.mark.parametrize("image", [BYTES, BYTES.long(), BYTES.float(), BYTES * 0])
def test_pictures_of_a_data_set_are_checked(image: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=DIVIDE):
        clean_picture([(image, 0)], 0)
    found, label = clean_picture([(image / 255, 3)], 0)
    assert torch.equal(found, image / 255)
    assert label == 3


def test_models_attacks_and_certificates_refuse_integers(tiny_model: Path, tree_file: Path) -> None:
    model = load_model(str(tiny_model))
    forest = load_forest([str(tree_file)])
    classifier = HierarchicalClassifier(model, cosine_head(model), forest)
    plans: list[dict[str, Any]] = [{}, {"smoothing": False, "attributes": [Attribute(name="dark", target="a dark {}")]}]
    with pytest.raises(ValueError, match=DIVIDE):
        model.image_features(BYTES[None])
    with pytest.raises(ValueError, match=DIVIDE):
        classifier.predict(BYTES[None])
    for images in (BYTES[None], BYTES[None].float()):
        with pytest.raises(ValueError, match=DIVIDE):
            pgd(lambda pixels: pixels.flatten(1), images, torch.tensor([0]), ThreatModel())
    for plan, image in itertools.product(plans, (BYTES, BYTES.float())):
        data: Any = [(image, 0)]
        with pytest.raises(ValueError, match=DIVIDE):
            list(certify_images(classifier, data, [0], CertificationPlan(sigma=0.1, n0=8, n=40, **plan)))
