"""Configurations that train under noise: they build, take a step, and certify at radii that can be reached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy.stats import norm
from sweeps import sweep
from torch import Tensor

from hrvlm.training.fine_tuning import RobustFineTuning

ROOT = Path(__file__).parents[2]
VARIANTS = {
    "imagenet/smoothed_025": ("imagenet/vit_b32_openai", 0.25, 1),
    "imagenet/smoothed_050": ("imagenet/vit_b32_openai", 0.5, 1),
    "emoji/smoothed": ("emoji/quickstart", 0.25, 1),
}


@pytest.mark.parametrize("variant", sweep(VARIANTS, quick=("emoji/smoothed",)))
def test_smoothed_variants_build_and_take_a_step(
    variant: str,
    tiny_model: Path,
    pictures: Path,
    tree_file: Path,
    run_train: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base, sigma, copies = VARIANTS[variant]
    steps, plain = [], RobustFineTuning.training_step

    def watched(module: RobustFineTuning, batch: dict[str, Any], batch_idx: int) -> Tensor:
        shown: list[int] = []
        hook = module.model.clip.visual.register_forward_pre_hook(lambda _, given: shown.append(len(given[0])))
        loss = plain(module, batch, batch_idx)
        hook.remove()
        steps.append((module, shown, len(batch["image"]), float(loss.detach())))
        return loss

    monkeypatch.setattr(RobustFineTuning, "training_step", watched)
    chosen: dict[str, Any] = yaml.safe_load((ROOT / "configs" / f"{base}.yaml").read_text(encoding="utf-8"))
    chosen["trainer"] |= {"accelerator": "cpu", "devices": 1, "precision": "32-true"}
    chosen["model"]["init_args"] |= {"model": str(tiny_model), "pretrained": None}
    if variant.startswith("imagenet/"):
        chosen["model"]["init_args"] |= {"trees": [str(tree_file)]}
        folders = {"train_folder": str(pictures), "evaluation_folders": {"validation": str(pictures)}}
        chosen["data"]["init_args"] |= folders | {"image_size": 32, "num_workers": 0}
        kept = [
            entry for entry in chosen["trainer"]["callbacks"] if entry["class_path"].endswith("CertificationCallback")
        ]
        chosen["trainer"]["callbacks"] = kept
    config = str(ROOT / "configs" / f"{variant}.yaml")
    small = ["--data.init_args.batch_size", "8", "--trainer.fast_dev_run", "1"]
    run_train(tmp_path, chosen, "--config", config, *small)
    ((module, shown, batch, loss),) = steps
    assert loss > 0
    assert module.noise is not None
    assert (module.noise.sigma, module.noise.copies) == (sigma, copies)
    assert shown == [copies * batch] * 2  # one step of the perturbation, and the loss
    assert module.model.config["training_noise"] == {"sigma": sigma, "mode": "fixed", "share": 1.0}
    plans = [callback.plan for callback in module.trainer.callbacks if hasattr(callback, "final_plan")]
    plan = plans[-1]
    assert plan.sigma == sigma
    ceiling = sigma * norm.ppf(plan.alpha ** (1 / plan.n))  # of what n samples can certify
    assert 0.5 * ceiling < max(plan.radii) < ceiling
