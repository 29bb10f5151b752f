"""Variants of the quick start compose with it, change what they say and nothing else, and take a training step."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml
from sweeps import sweep

from hrvlm.cli.train import main
from hrvlm.training.pictured_changes import AppearanceSequence
from hrvlm.training.settings import PathAlignment

ROOT = Path(__file__).parents[2]
OBJECTIVES = {
    "tecoa": "TeCoAObjective",
    "pmg_aft": "PMGAFTObjective",
    "fare": "FAREObjective",
    "agft": "AGFTObjective",
    "subspace_alignment": "SubspaceAlignmentObjective",
    "image_text_contrastive": "ImageTextContrastiveObjective",
    "clean": "CleanObjective",
    "hierarchical": "HierarchicalObjective",
    "hierarchical_tree": "GuidedHierarchicalObjective",
    "hierarchical_euclidean": "GuidedHierarchicalObjective",
}


def resolved(*names: str) -> dict[str, Any]:
    """The whole configuration that composed files give."""
    given = [argument for name in names for argument in ("--config", f"configs/emoji/{name}.yaml")]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.chdir(ROOT)
        patch.setattr("sys.argv", ["train.py"])
        with pytest.raises(SystemExit) as stopped:
            main(["fit", *given, "--print_config"])
    assert stopped.value.code == 0
    shown: dict[str, Any] = yaml.safe_load(printed.getvalue())
    return shown


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    return resolved("quickstart")


def without(settings: dict[str, Any], *places: tuple[str, ...]) -> dict[str, Any]:
    """Settings less some entries."""
    copied: dict[str, Any] = yaml.safe_load(yaml.safe_dump(settings))
    for *path, last in places:
        part = copied
        for key in path:
            part = part[key]
        part.pop(last)
    return copied


@pytest.mark.parametrize("name", sweep(OBJECTIVES, quick=("clean",)))
def test_a_variant_composes_with_the_quick_start_and_takes_a_step(
    name: str,
    base: dict[str, Any],
    make_settings: Callable[..., Any],
    run_train: Callable[..., Path],
    tmp_path: Path,
) -> None:
    variant = resolved("quickstart", name)
    module = variant["model"]["init_args"]
    objective = module["objective"]
    assert objective["class_path"].rpartition(".")[2] == OBJECTIVES[name]
    changed = [("model", "init_args", "objective"), ("model", "init_args", "trees")]
    changed += [("trainer", "default_root_dir"), ("trainer", "logger")]
    captioned = name == "image_text_contrastive"
    changed += [("data", "init_args", "caption_trees")] * captioned
    assert without(variant, *changed) == without(base, *changed)
    assert (module["trees"] == base["model"]["init_args"]["trees"]) == (name != "hierarchical_tree")
    attacked = base["model"]["init_args"]["objective"]["init_args"]
    for setting in ("threat_model", "ascent"):
        assert objective["init_args"].get(setting, attacked[setting]) == attacked[setting]
    assert [entry["init_args"]["name"] for entry in variant["trainer"]["logger"]] == [name, f"{name}/tensorboard"]
    chosen = make_settings(tmp_path)
    chosen["model"]["init_args"]["objective"] = objective
    if captioned:
        chosen["data"] = variant["data"]
        chosen["data"]["init_args"]["batch_size"] = 8
        chosen["model"]["init_args"]["trees"] = module["trees"]
    chosen["trainer"] |= {"callbacks": [], "max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1}
    chosen["trainer"]["enable_checkpointing"] = False
    folder = run_train(tmp_path, chosen)
    header, values, *_ = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert float(dict(zip(header.split(","), values.split(","), strict=True))["train/loss"]) > 0


def test_alignment_composes_with_the_quick_start_and_shows_the_changes_of_the_benchmark(
    base: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from semantic_changes import CHANGES

    variant = resolved("quickstart", "aligned")
    alignment, before = (given["model"]["init_args"]["trained"]["alignment"] for given in (variant, base))
    changed: list[tuple[str, ...]] = [("trainer", "default_root_dir"), ("trainer", "logger")]
    changed.append(("model", "init_args", "trained", "alignment"))
    assert before is None
    assert without(variant, *changed) == without(base, *changed)
    sequences = {name: AppearanceSequence(**given) for name, given in alignment.pop("sequences").items()}
    shown = PathAlignment(**alignment, sequences=sequences)
    assert [change.name for change in shown.changes()] == [change.name for change in CHANGES]
    for change in CHANGES:
        assert shown.sequences[change.name].appearances(change.name)[-1] == change.stop
