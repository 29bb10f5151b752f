"""Settings that stand in values now are understood by their former names, everywhere, with one line about it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch
import yaml

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.attacks.evaluation import RobustnessPlan
from hrvlm.callbacks import GeometryCallback, RobustnessCallback, ZeroShotCallback
from hrvlm.cli.command import parser_of
from hrvlm.cli.command_table import CERTIFY
from hrvlm.cli.train import main as train
from hrvlm.data.shards import ShardDataModule
from hrvlm.models.model_card import model_card
from hrvlm.objectives import (
    CleanObjective,
    FAREObjective,
    GuidedHierarchicalObjective,
    HierarchicalObjective,
    PMGAFTObjective,
    SubspaceAlignmentObjective,
    TeCoAObjective,
)
from hrvlm.old_keys import nested, places_of
from hrvlm.training.captioning import CaptionTraining
from hrvlm.training.fine_tuning import RobustFineTuning
from hrvlm.training.pretraining import ContrastivePretraining

ROOT = Path(__file__).parents[2]
OBJECTIVE = "hrvlm.objectives.HierarchicalObjective"
KINDS = (
    HierarchicalObjective, TeCoAObjective, PMGAFTObjective, FAREObjective, GeometryCallback, RobustnessCallback,
    ZeroShotCallback, RobustnessPlan, RobustFineTuning, CaptionTraining, ContrastivePretraining, ShardDataModule,
)  # fmt: skip
SAID = "settings were given by old names"
# The whole of an objective as a run of an earlier version left it in its config.yaml.
EARLIER: dict[str, Any] = {
    "head": "cosine", "curv": 0.5, "norm_cap": 0.9, "normalise_texts": True, "temperature": 0.2, "image_scale": None,
    "text_scales": [0.1, 0.2], "logit_scale": 20.0, "trainable_scales": False, "trainable_temperature": False,
    "hnsa": "up", "lambda_vicinity": 0.1, "lambda_order": 0.0, "lambda_order_image": None, "lambda_order_text": 0.0,
    "level_weights": [1.0, 0.5], "image_share": 0.25, "zeta_vicinity": 0.7, "zeta_gap": 0.1, "strategy": "leaf",
    "norm": "l2", "eps": 0.5, "steps": 5, "step_size": 0.125, "random_start": False, "eps_text": 0.001,
    "step_size_text": None, "average_over": "local",
}  # fmt: skip
NOW: dict[str, Any] = {
    "head": {
        "kind": "cosine", "curv": 0.5, "norm_cap": 0.9, "normalise_texts": True, "temperature": 0.2,
        "image_scale": None, "text_scales": [0.1, 0.2], "logit_scale": 20.0, "trainable_scales": False,
        "trainable_temperature": False,
    },
    "weights": {
        "levels": [1.0, 0.5], "image_share": 0.25, "leaf_sum_share": 0.0, "soft_targets": None, "vicinity": 0.1,
        "order": 0.0, "order_image": None,
        "order_text": 0.0,
    },
    "hnsa": "up", "zeta_vicinity": 0.7, "zeta_gap": 0.1, "strategy": "leaf", "average_over": "local",
    "threat_model": {"norm": "l2", "eps": 0.5, "bounds": [0.0, 1.0]},
    "ascent": {"steps": 5, "step_size": 0.125, "random_start": False} | {
        "rule": "sign", "momentum": None, "loss": None, "starts": 1, "trees_per_step": None,
    },
    "text_perturbation": {"eps": 0.001, "step_size": None},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_former_name_has_a_place_and_is_no_argument_otherwise(kind: type[Any]) -> None:
    arguments, hints = inspect.signature(kind).parameters, get_type_hints(kind.__init__)
    assert places_of(kind)
    for name, place in places_of(kind).items():
        argument, _, field = place.partition(".")
        (settings,) = {*(get_args(hints[argument]) or [hints[argument]])} - {type(None)}
        assert is_dataclass(settings)
        assert field in {each.name for each in fields(settings)}
        assert name not in arguments or name == argument


def test_all_classes_with_former_names_are_looked_at() -> None:
    found = set()
    for path in (ROOT / "hrvlm").rglob("*.py"):
        if "\n@old_keys(" in path.read_text(encoding="utf-8"):
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            found |= {kind for kind in vars(module).values() if hasattr(getattr(kind, "__init__", 0), "old_keys")}
    assert found == set(KINDS)


def test_a_class_that_passes_arguments_on_understands_the_former_names_of_its_parent() -> None:
    assert places_of(GuidedHierarchicalObjective) == places_of(HierarchicalObjective)
    assert places_of(SubspaceAlignmentObjective) == {}  # names all its arguments itself
    assert places_of("a name") == places_of(object) == {}


def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[Any, list[str]]:
    """What `train.py fit` makes of a configuration, and the lines that it says besides."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["train.py"])
    with pytest.raises(SystemExit) as stopped:
        train(["fit", *words, "--print_config"])
    said = capsys.readouterr()
    assert stopped.value.code == 0, said.err
    return yaml.safe_load(said.out), said.err.splitlines()


def written(folder: Path, objective: dict[str, Any], **model: Any) -> str:
    """A configuration that puts other settings over those of the quick start."""
    module: dict[str, Any] = {"objective": {"class_path": OBJECTIVE, "init_args": objective}} | model
    path = folder / "given.yaml"
    path.write_text(yaml.safe_dump({"model": {"init_args": module}}), encoding="utf-8")
    return f"--config={path}"


QUICK = "--config=configs/emoji/quickstart.yaml"


def test_a_file_of_an_earlier_run_says_the_same_as_before_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {"learning_rate": 0.25, "train_image_tower": False, "compile_backend": "eager"}
    found, said = shown(capsys, monkeypatch, QUICK, written(tmp_path, EARLIER, **old))
    module = found["model"]["init_args"]
    assert module["objective"]["init_args"] == NOW
    assert module["optimizer"] == {"learning_rate": 0.25, "weight_decay": 1e-4, "warmup_steps": 10}
    assert module["trained"] == {
        "image_tower": False, "text_projection": True, "freeze_batch_norm": False, "average_decay": None,
        "weight_perturbation": None, "alignment": None,
    }  # fmt: skip
    assert module["tower"] == {"compile_backend": "eager", "checkpoint_activations": False}
    (line,) = (line for line in said if SAID in line)
    assert line.startswith("train.py: ")
    for part in (
        "eps is now threat_model.eps",
        "head is now head.kind",
        "learning_rate is now optimizer.learning_rate",
    ):
        assert part in line
    new = {"optimizer": {"learning_rate": 0.25}, "trained": {"image_tower": False}}
    new |= {"tower": {"compile_backend": "eager"}}
    assert shown(capsys, monkeypatch, QUICK, written(tmp_path, NOW, **new)) == (found, [])


def test_words_of_the_command_line_go_where_they_belong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = "--model.init_args.objective.init_args"
    words = [f"{objective}.eps", "1/255", f"{objective}.head=cosine", f"{objective}.lambda_order=0"]
    words += ["--model.learning_rate=1e-2", f"{objective}.threat_model.norm=l2"]
    found, said = shown(capsys, monkeypatch, QUICK, *words)
    module = found["model"]["init_args"]
    arguments = module["objective"]["init_args"]
    assert arguments["threat_model"] == {"norm": "l2", "eps": 1 / 255, "bounds": [0.0, 1.0]}
    assert (arguments["head"]["kind"], arguments["head"]["curv"]) == ("cosine", 1.0)
    assert (arguments["weights"]["order"], arguments["weights"]["image_share"]) == (0.0, 1.0)
    assert arguments["ascent"]["step_size"] == 0.00784314  # the file's
    assert (module["optimizer"]["learning_rate"], module["optimizer"]["warmup_steps"]) == (0.01, 10)
    assert sum(SAID in line for line in said) == 1


def test_of_several_processes_the_first_one_says_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert shown(capsys, monkeypatch, QUICK, written(tmp_path, {"eps": 0.1}))[1] == []


@pytest.mark.parametrize(
    ("objective", "told"),
    [
        ({"epsilon": 0.1}, "epsilon"),
        ({"threat_model": {"epsilon": 0.1}}, "epsilon"),
        ({"weights": {"lambda_order": 0.1}}, "lambda_order"),
        (
            {"eps": 0.1, "threat_model": {"eps": 0.2}},
            "expected threat_model.eps once, got it by its old name eps as well",
        ),
        ({"eps": "wide"}, "wide"),
    ],
)
def test_what_was_no_name_before_is_none_now(
    objective: dict[str, Any], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["train.py"])
    with pytest.raises(SystemExit) as stopped:
        train(["fit", QUICK, written(tmp_path, objective), "--print_config"])
    assert stopped.value.code != 0
    said = capsys.readouterr().err
    assert told in said
    assert SAID not in said


@pytest.mark.parametrize("words", [["--plan.eps", "0.25"], ["--plan.eps=0.25"], []])
def test_plans_of_attacks_are_understood(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "attack.yaml"
    plan = {"norm": "l2"} if words else {"norm": "l2", "eps": 0.25}
    config.write_text(yaml.safe_dump({"trees": [], "plan": plan}), encoding="utf-8")
    data = "--data=hrvlm.data.emoji_pack.datamodule.EmojiDataModule"
    given = ["attack", "--checkpoint=emoji", "--output=none", f"--config={config}", data, *words]
    parser = parser_of("attack", CERTIFY, "certify.py", "")
    chosen = parser.instantiate_classes(parser.parse_args(given)).attack
    assert chosen.plan == RobustnessPlan(threat_model=ThreatModel("l2", 0.25))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("certify.py: ")
    for part in ("norm is now threat_model.norm", "eps is now threat_model.eps"):
        assert part in line


def test_a_model_card_tells_the_same_of_runs_of_both_forms() -> None:
    earlier = {"learning_rate": 0.25, "weight_decay": 0.5, "seed": 3}
    earlier |= {"objective": {"class_path": OBJECTIVE, "init_args": EARLIER}}
    now = {"optimizer": {"learning_rate": 0.25, "weight_decay": 0.5}, "seed": 3}
    now |= {"objective": {"class_path": OBJECTIVE, "init_args": NOW}}
    cards = [model_card("m", settings={"model": {"init_args": module}}) for module in (earlier, now)]
    assert cards[0] == cards[1]
    for known in (
        "head cosine",
        "weights.vicinity 0.1",
        "l2, eps 128/255",
        "5 steps, step 31.9/255",
        "texts 0.001 per",
    ):
        assert known in cards[1]
    assert "learning_rate 0.25, weight_decay 0.5, seed 3" in cards[1]


def test_python_takes_former_names_with_a_warning() -> None:
    with pytest.warns(
        FutureWarning, match="TeCoAObjective: .*eps is now threat_model.eps, steps is now ascent.steps"
    ) as given:
        objective = TeCoAObjective(eps=0.25, steps=7, ascent=Ascent(step_size=0.5))
    assert len(given) == 1
    assert (objective.threat_model, objective.ascent) == (ThreatModel(eps=0.25), Ascent(steps=7, step_size=0.5))
    with pytest.warns(FutureWarning, match="names"):
        data = ShardDataModule(train_shards="a.tar", evaluation_shards={"validation": "b.tar"})
    assert (data.shards.train, data.shards.evaluation) == ("a.tar", {"validation": "b.tar"})
    with pytest.raises(TypeError, match="epsilon"):
        TeCoAObjective(epsilon=0.25)
    with pytest.raises(TypeError, match="eps"):
        CleanObjective(eps=0.25)


def test_values_may_be_mappings_of_their_fields() -> None:
    objective = HierarchicalObjective(**NOW)
    with pytest.warns(FutureWarning):
        earlier = HierarchicalObjective(**EARLIER)
    for name in ("threat_model", "ascent", "head_settings", "weights", "text_perturbation", "image_share"):
        assert getattr(objective, name) == getattr(earlier, name)
    assert nested(NOW, places_of(HierarchicalObjective)) == (NOW, {})


SIZE: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "dropout": 0.0}


@pytest.mark.parametrize("by_command", [False, True])
def test_checkpoints_with_former_hyper_parameters_load(by_command: bool, tmp_path: Path) -> None:
    made = CaptionTraining(decoder=SIZE, optimizer={"learning_rate": 0.5, "warmup_steps": 3}, empty_share=0.25)  # type: ignore[arg-type]
    earlier = SIZE | {
        "learning_rate": 0.5,
        "warmup_steps": 3,
        "weight_decay": 0.05,
        "noise": 0.125,
        "noise_share": 0.75,
    }
    earlier |= {"model": "emoji", "tower_learning_rate": 4e-4, "empty_share": 0.25, "folder": None, "seed": 3}
    if by_command:  # as LightningCLI has them written
        earlier |= {"_class_path": "hrvlm.training.captioning.CaptionTraining"}
        earlier |= {"_instantiator": "lightning.pytorch.cli.instantiate_module"}
    content = {"state_dict": made.state_dict(), "hyper_parameters": earlier, "pytorch-lightning_version": "2.6.0"}
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.warns(FutureWarning, match="width is now decoder.width"):
        loaded = CaptionTraining.load_from_checkpoint(tmp_path / "last.ckpt")
    assert loaded.optimizer_settings == made.optimizer_settings
    assert (loaded.training_noise.share, loaded.training_noise.sigma) == (0.75, 0.125)
    assert loaded.hparams["seed"] == 3
    assert loaded.captioner.decoder.state_dict().keys() == made.captioner.decoder.state_dict().keys()


def test_checkpoints_hold_plain_hyper_parameters(tmp_path: Path, pretraining: Callable[[], Any]) -> None:
    made = pretraining()
    content = {
        "state_dict": made.state_dict(),
        "hyper_parameters": dict(made.hparams),
        "pytorch-lightning_version": "2",
    }
    torch.save(content, tmp_path / "last.ckpt")
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["hyper_parameters"]["optimizer"]["warmup_steps"] == 7
    loaded = ContrastivePretraining.load_from_checkpoint(tmp_path / "last.ckpt")
    assert loaded.optimizer_settings == made.optimizer_settings


@pytest.fixture
def pretraining(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    from hrvlm.training.settings import OptimizerSettings

    monkeypatch.chdir(ROOT)
    settings = OptimizerSettings(learning_rate=0.1, weight_decay=0.2, warmup_steps=7)
    return lambda: ContrastivePretraining(model_config="configs/emoji/model.json", optimizer=settings)
