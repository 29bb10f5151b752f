"""Packages that open_clip is entered without are whole for whoever asks for them later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ENTERED = (
    "import sys\nfrom hrvlm.cli.lighter_models import enter_open_clip\nfrom hrvlm.cli.unfilled import Unfilled\n"
    "before = list(sys.meta_path)\nenter_open_clip()\nassert sys.meta_path == before\n"
    "absent = ['torch._dynamo', 'transformers', 'timm.models', 'torchvision.ops.boxes', 'torchvision.datasets.coco']\n"
    "assert not [name for name in absent if name in sys.modules]\n"
)


def check(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", ENTERED + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import timm\nassert isinstance(timm, Unfilled)\nassert timm.is_model('resnet18') and timm.__version__\n"
        "assert type(timm) is type(sys)",
        "from timm.models.resnet import ResNet\nimport timm\nassert type(timm.create_model('test_resnet')) is ResNet",
        "import torch, torchvision\nassert 'nms' in dir(torchvision.ops)\n"
        "boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0]]).repeat(2, 1)\n"
        "assert torchvision.ops.nms(boxes, torch.tensor([1.0, 0.5]), 0.5).tolist() == [0]",
        "import torchvision\nassert torchvision.datasets.CIFAR10.__module__ == 'torchvision.datasets.cifar'",
        "from torchvision.models import *\nassert sum(1 for _ in resnet18().parameters()) > 60",
        "from torchvision.models.resnet import resnet18\nimport torchvision\n"
        "assert torchvision.models.resnet18 is resnet18 and torchvision.ops.roi_align",
        "import timm\nassert 'create_model' in timm.__loader__.get_source('timm')",
    ],
    ids=["name", "below", "operator", "attribute", "all", "after", "source"],
)
def test_packages_that_are_put_off_are_there_however_they_are_asked_for(code: str) -> None:
    check(code)


def test_text_towers_of_transformers_are_made(tmp_path: Path) -> None:
    check(
        "from open_clip import model\n"
        "from transformers import BertConfig\n"
        "size = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=16)\n"
        f"BertConfig(**size).save_pretrained({str(tmp_path)!r})\n"
        f"made = [model.HFTextEncoder({str(tmp_path)!r}, output_dim=4, pretrained=False) for _ in range(2)]\n"
        "import open_clip.hf_model\n"
        "assert {type(tower) for tower in made} == {open_clip.hf_model.HFTextEncoder} == {model.HFTextEncoder}\n"
        "assert made[0].config.hidden_size == 8"
    )
