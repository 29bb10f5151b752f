"""Several callbacks of one class, weights stored before they are evaluated, and certificates on fresh noise."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from sweeps import sweep

from hrvlm import load_forest, load_model
from hrvlm.callbacks import CertificationCallback, ExportModel, GeometryCallback
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.kinds.summary import scalars
from hrvlm.certificates.run.images import certify_images
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.data import open_images
from hrvlm.models import HierarchicalClassifier, cosine_head

CERTIFY = "hrvlm.callbacks.CertificationCallback"
CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"
PLAN = {
    "num_images": 3, "sigma": 0.02, "n0": 4, "n": 20, "alpha": 0.05, "radii": [0.0], "batch_size": 64,
    "semantic": False,
}  # fmt: skip


class Failing(GeometryCallback):
    """Fails where it would evaluate the second epoch."""

    def _samples(self, trainer: Any, *given: Any) -> Any:
        if trainer.current_epoch == 1:
            raise RuntimeError("evaluation failed")
        return super()._samples(trainer, *given)


class FailingExport(ExportModel):
    def on_fit_end(self, *given: Any) -> None:
        raise RuntimeError("export failed")


class Remembering(Callback):
    """Keeps state in checkpoints, of epochs that it has seen; listed after evaluations."""

    def __init__(self) -> None:
        self.seen = 0

    def on_train_epoch_end(self, *given: Any) -> None:
        self.seen += 1

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}


def plan(**changes: Any) -> dict[str, Any]:
    return {"plan": {"class_path": "hrvlm.certificates.images.CertificationPlan", "init_args": PLAN | changes}}


def configured(chosen: dict[str, Any], *callbacks: tuple[str, dict[str, Any]], **trainer: Any) -> dict[str, Any]:
    chosen["trainer"] |= {"limit_val_batches": 0, "limit_train_batches": 1, "max_epochs": 2} | trainer
    chosen["trainer"]["callbacks"] = [{"class_path": name, "init_args": given} for name, given in callbacks]
    chosen["model"]["init_args"]["objective"] = {"class_path": "hrvlm.objectives.CleanObjective"}
    return chosen


def logged(folder: Path) -> dict[str, str]:
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return {name: value for row in csv.DictReader(file) for name, value in row.items() if value}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    (path,) = folder.glob("rank=*.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def several(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], run_train: Callable[..., Path]
) -> Path:
    """Three epochs with three certifications, the last with everything, on fresh noise after the end too."""
    folder = tmp_path_factory.mktemp("several")
    everything = plan(
        semantic=True, joint=True, attributes=[{"name": "dark", "target": "a dark {}"}], profile={}, deltas=[0.1],
        joint_questions={"radii": [0.01], "extents": [0.1]},
    )  # fmt: skip
    name = "certificates_all/smoothing/kinds/1/average_certified_radius"
    chosen = configured(
        make_settings(folder),
        (CERTIFY, plan() | {"before": True}),
        (CERTIFY, plan(sigma=0.05)),
        (CERTIFY, everything | {"name": "all", "final_seed": 7}),
        (CHECKPOINT, {"monitor": name, "mode": "max", "filename": "chosen", "every_n_epochs": 2}),
        max_epochs=3,
    )
    return run_train(folder, chosen)


def test_callbacks_of_one_class_write_and_log_beside_each_other(several: Path) -> None:
    found = {label: rows_of(several / label / "epoch=002") for label in ("certificates", "certificates_2")}
    assert {label: {row["sigma"] for row in rows} for label, rows in found.items()} == {
        "certificates": {0.02}, "certificates_2": {0.05},
    }  # fmt: skip
    names = logged(several)
    for label, rows in found.items():
        radii = [r["radius"] if r["correct"] and not r["abstain"] else 0.0 for r in rows if r["level"] == 0]
        mean = float(names[f"{label}/smoothing/kinds/0/average_certified_radius"])
        assert mean == pytest.approx(sum(radii) / len(radii))


def test_certificates_before_training_are_those_of_plain_clip(
    several: Path, tiny_model: Path, pictures: Path, tree_file: Path
) -> None:
    data, model = open_images(str(pictures)), load_model(str(tiny_model))
    classifier = HierarchicalClassifier(model, cosine_head(model), load_forest([tree_file], leaves=data.class_names))
    chosen = CertificationPlan(**PLAN)  # type: ignore[arg-type]
    steps = certify_images(classifier, data, chosen.indices(len(data)), chosen)
    expected = [record.to_row() for records in steps for record in records]
    found = rows_of(several / "certificates" / "before")
    assert json.loads(json.dumps(expected)) == found
    assert found != rows_of(several / "certificates" / "epoch=000")
    radii = [row["radius"] if row["correct"] and not row["abstain"] else 0.0 for row in found if row["level"] == 0]
    mean = float(logged(several)["certificates/before/smoothing/kinds/0/average_certified_radius"])
    assert mean == pytest.approx(sum(radii) / len(radii))
    assert not (several / "certificates_2" / "before").exists()


def test_every_kind_of_certificate_is_logged(several: Path) -> None:
    kinds = {name.split("/")[1] for name in logged(several) if name.startswith("certificates_all/")}
    assert kinds == {"smoothing", "semantic", "joint", "profile", "final"}
    names = logged(several)
    assert "certificates_all/profile/kinds/1/average_certified_radius" in names
    assert "certificates_all/semantic/kinds/0/dark/cosine/stable_coverage_at_0.1" in names


def test_epochs_say_that_they_share_noise_and_the_final_rows_are_of_fresh_noise_and_the_chosen_weights(
    several: Path,
) -> None:
    epochs = [rows_of(several / "certificates_all" / f"epoch={epoch:03d}") for epoch in range(3)]
    final = rows_of(several / "certificates_all" / "final")
    for rows in epochs:
        assert all(row["noise_shared"] == (row["kind"] != "semantic") for row in rows if "noise_shared" in row)
        assert {row["kind"] for row in rows if "noise_shared" in row} == {"smoothing", "joint", "profile"}
        assert {row["seed"] for row in rows if row["kind"] != "semantic"} == {0}
    assert not any("noise_shared" in row for row in final)
    assert {row["seed"] for row in final if row["kind"] != "semantic"} == {7}
    stored = torch.load(several / "checkpoints" / "chosen.ckpt", weights_only=True)
    assert stored["epoch"] == 1  # of those that the checkpoint may choose
    semantic = [[row for row in rows if row["kind"] == "semantic"] for rows in (*epochs, final)]
    assert semantic[1] == semantic[3] != semantic[2]  # no noise in these: the weights are the same, and not the last


def test_pictures_that_show_an_attribute_are_logged() -> None:
    semantic = {
        "t": {"0": {"dark": {"cosine": {"pictures": {"mean_invariance": 0.25, "stable_coverage": {"0.1": 0.5}}}}}}
    }
    found = scalars({"smoothing": {}, "semantic": semantic})
    assert found == {
        "certificates/semantic/t/0/dark/cosine/pictures/invariance": 0.25,
        "certificates/semantic/t/0/dark/cosine/pictures/stable_coverage_at_0.1": 0.5,
    }


def state(folder: Path, name: str) -> dict[str, Any]:
    (path,) = folder.rglob(name)
    return torch.load(path, weights_only=True)


CASES: dict[str, tuple[str, list[tuple[str, dict[str, Any]]]]] = {
    "each epoch": ("end.ckpt", [(CHECKPOINT, {"filename": "end"})]),
    "by what is evaluated": (
        "unevaluated.ckpt",
        [(CHECKPOINT, {"monitor": "geometry/kinds/level 1/text_norm", "filename": "end"})],
    ),
    "with state that has not seen the epoch": (
        "unevaluated.ckpt",
        [("test_evaluation.Remembering", {}), (CHECKPOINT, {"filename": "end"})],
    ),
}


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize("case", sweep(CASES, quick=("each epoch",)))
def test_an_evaluation_that_fails_leaves_weights_to_go_on_from(
    case: str, make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path
) -> None:
    name, checkpoints = CASES[case]
    failing = ("test_evaluation.Failing", {"num_images": 2, "steps": 1})
    with pytest.raises((RuntimeError, SystemExit)):
        run_train(tmp_path / "a", configured(make_settings(tmp_path / "a"), failing, *checkpoints, max_epochs=3))
    last = (CHECKPOINT, {"filename": "{epoch}", "save_top_k": -1})
    run_train(tmp_path / "b", configured(make_settings(tmp_path / "b"), last, max_epochs=3))
    (found,) = (tmp_path / "a").rglob(name)
    stored, expected = state(tmp_path / "a", name), state(tmp_path / "b", "epoch=1.ckpt")
    for part in ("loops", "lr_schedulers", "epoch", "global_step"):
        assert stored[part] == expected[part]
    same = zip(stored["state_dict"].values(), expected["state_dict"].values(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in same)
    again = configured(make_settings(tmp_path / "c"), last, max_epochs=3)
    run_train(tmp_path / "c", again, "--ckpt_path", str(found), "--weights_only", "true")
    ends = [state(tmp_path / part, "epoch=2.ckpt")["state_dict"] for part in "bc"]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(ends[0].values(), ends[1].values(), strict=True))


@pytest.mark.slow
def test_an_export_that_fails_leaves_the_last_weights(
    make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path
) -> None:
    rare = (CHECKPOINT, {"every_n_epochs": 9, "filename": "end"})
    failing = ("test_evaluation.FailingExport", {"folder": str(tmp_path / "model")})
    with pytest.raises((RuntimeError, SystemExit)):
        run_train(tmp_path / "a", configured(make_settings(tmp_path / "a"), failing, rare))
    assert state(tmp_path / "a", "unevaluated.ckpt")["global_step"] == 2
    fine = ("hrvlm.callbacks.ExportModel", {"folder": str(tmp_path / "model")})
    run_train(tmp_path / "b", configured(make_settings(tmp_path / "b"), fine, rare))
    assert not list((tmp_path / "b").rglob("*.ckpt"))  # all went well: what was asked for, and nothing else


def test_callbacks_that_would_write_over_each_other_are_refused(tmp_path: Path) -> None:
    chosen = CertificationPlan(num_images=1)
    twice = [CertificationCallback(chosen, name="x"), CertificationCallback(chosen, name="x")]
    with pytest.raises(ValueError, match=r"CertificationCallbacks of different names, got certificates_x twice"):
        twice[0].setup(SimpleNamespace(callbacks=twice), None, "fit")  # type: ignore[arg-type]
    exports: list[Any] = [ExportModel(str(tmp_path / "a")), ExportModel(f"{tmp_path}/b/../a")]
    with pytest.raises(ValueError, match="expected one export to"):
        exports[0].setup(SimpleNamespace(callbacks=exports), None, "fit")
    with pytest.raises(ValueError, match="expected name of letters"):
        GeometryCallback(name="../x")
    with pytest.raises(ValueError, match="expected a final_seed other than the plan's seed, got 0"):
        CertificationCallback(chosen, final_seed=0)
    changes = [Attribute(name="small", target="a small {}")]
    calibrated = CertificationPlan(smoothing=False, attributes=changes, calibration="calibration.json")
    with pytest.raises(ValueError, match=r"without calibration while training, got calibration\.json: it is of the"):
        CertificationCallback(calibrated)


def test_numbers_follow_the_order_and_names_are_kept() -> None:
    callbacks: list[Any] = [GeometryCallback(), GeometryCallback(name="b"), GeometryCallback(), ModelCheckpoint()]
    trainer: Any = SimpleNamespace(callbacks=callbacks)
    for callback in callbacks[:3]:
        callback.setup(trainer, None, "fit")
    assert [callback.label for callback in callbacks[:3]] == ["geometry", "geometry_b", "geometry_2"]
