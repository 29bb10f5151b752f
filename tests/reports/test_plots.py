"""Figures from Python: what they show is what the rows say, and pyplot is left alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_rows import all_rows, profile_row, robustness_rows, semantic_rows, smoothing_row

from hrvlm.attacks.records import RobustnessRecord
from hrvlm.certificates.kinds.registry import record_from_row
from hrvlm.figures import pixels
from hrvlm.generative.targeted_attack_records import TargetedAttackRecord
from hrvlm.reports import plots

METRICS = """epoch,step,train/loss,validation/accuracy/leaf,certificates/smoothing/t/0/average_certified_radius
0,4,2.5,,
0,5,,0.25,0.01
1,9,1.5,,
1,9,,0.5,nan
"""


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def geometry_rows(epoch: int) -> list[dict[str, Any]]:
    """Two images at the leaves, clean and attacked, and one group."""
    shared = {"kind": "geometry", "epoch": epoch, "tree": "t", "of": "image", "attainable_margin": 1.0}
    leaf = shared | {"level": 0, "level_name": "leaf"}
    rows = [leaf | {"attack": "clean", "point_norm": norm, "margin": norm / 2} for norm in (0.2, 0.4 + epoch)]
    rows += [leaf | {"attack": "pgd3", "point_norm": 0.1, "margin": -0.2}]
    return [*rows, shared | {"of": "group", "level": 1, "level_name": "kind", "attack": "clean"} | _NUMBERS]


_NUMBERS = {"point_norm": 0.5, "margin": 0.25}


def push_record(eps: float, success: bool) -> TargetedAttackRecord:
    return TargetedAttackRecord(
        index=0, defence="none", eps=eps, oracle="o", forbidden="f", wanted="w", clean_answer="a", answer="b",
        label="f" if success else "g", success=success, certified_radius=0.0, inside=False, sigma=0.1, votes=None,
        forbidden_votes=None, steps=3, samples=None, seed=0,
    )  # fmt: skip


def test_certified_accuracy_falls_from_the_share_of_right_images_at_their_radii() -> None:
    rows = [smoothing_row(index=0, count=99), smoothing_row(index=1, count=40), smoothing_row(index=2, label=0)]
    (axes,) = plots.certified_accuracy([*rows, *semantic_rows()]).axes
    (curve,) = axes.patches
    values, edges, _ = curve.get_data()
    assert values.tolist() == pytest.approx([100 / 3, 0])
    assert edges.tolist() == pytest.approx([0, rows[0]["radius"], rows[0]["radius"]])


def test_profiles_are_areas_of_their_levels() -> None:
    (axes,) = plots.certified_profile([profile_row(0), profile_row(1)]).axes
    assert texts(axes) == ["level 0", "level 1"]
    assert len(axes.collections) == 2


def test_semantic_figures_take_rows_and_records_alike() -> None:
    rows = [*semantic_rows(), *semantic_rows(scorer="poincare")]
    records = [record_from_row(row) for row in rows]
    for given in (rows, records):
        figure = plots.semantic_invariance(given)
        assert [axes.get_title() for axes in figure.axes] == ["cosine", "poincare"]
        share = 100 * np.mean([record.invariance for record in records if record.scorer == "cosine"])
        assert figure.axes[0].patches[0].get_width() == pytest.approx(share)
    (axes,) = plots.semantic_bars(rows, 2, scorer="cosine").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["small: level 0"]


@pytest.mark.parametrize(("index", "scorer"), [(99, None), (0, None), (0, "other")])
def test_bars_of_no_image_or_of_two_scorers_are_refused(index: int, scorer: str | None) -> None:
    with pytest.raises(ValueError, match=r"expected one scorer's semantic rows.*has those of"):
        plots.semantic_bars([*semantic_rows(), *semantic_rows(scorer="poincare")], index, scorer=scorer)


def test_the_heat_map_holds_the_accuracies_of_the_transfer_table() -> None:
    rows = robustness_rows()
    for given in (rows, [RobustnessRecord.from_row(row) for row in rows]):
        axes = plots.transfer_matrix(given).axes[0]
        assert axes.images[0].get_array().tolist() == [[0, 50], [50, 0]]
        assert [text.get_text() for text in axes.texts] == ["0.0", "50.0", "50.0", "0.0"]
        assert axes.get_title() == "pgd20"
    with pytest.raises(ValueError, match="expected rows of the attack cw, got those of pgd20"):
        plots.transfer_matrix(rows, "cw")
    with pytest.raises(ValueError, match="got those of clean images alone"):
        plots.transfer_matrix([row for row in rows if row["attack"] == "clean"])


def test_attack_curves_rise_with_the_budget() -> None:
    axes = plots.attack_curves([push_record(0.1, False), push_record(0.2, True).to_row()]).axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[0.1, 0], [0.2, 100]]


def test_norms_and_margins_are_means_over_epochs() -> None:
    norm, margin = plots.level_geometry([*geometry_rows(1), *geometry_rows(0)]).axes
    assert texts(norm) == ["leaf", "leaf under attack", "t/kind"]
    assert norm.lines[0].get_xydata().tolist() == pytest.approx(np.array([[0, 0.3], [1, 0.8]]))
    assert margin.lines[1].get_ydata().tolist() == [-0.2, -0.2]
    assert norm.lines[1].get_linestyle() == "--"
    assert norm.lines[1].get_color() == norm.lines[0].get_color() != norm.lines[2].get_color()


def test_training_curves_show_what_was_logged(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(METRICS)
    loss, accuracy, radius = plots.training_curves(plots.read_metrics(path)).axes
    assert loss.lines[0].get_xydata().tolist() == [[4, 2.5], [9, 1.5]]
    assert accuracy.lines[0].get_xydata().tolist() == [[5, 0.25], [9, 0.5]]
    assert radius.lines[0].get_xydata().tolist() == [[5, 0.01]]
    assert texts(accuracy) == ["leaf"]


@pytest.mark.parametrize(("text", "said"), [("step,a\n1,x\n", "expected numbers"), ("a,b\n1,2\n", "a column step")])
def test_other_tables_are_no_metrics(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        plots.read_metrics(path)


@pytest.mark.parametrize(
    "draw", [plots.certified_accuracy, plots.certified_profile, plots.attack_curves, plots.level_geometry,
             plots.training_curves, plots.semantic_invariance]
)  # fmt: skip
def test_no_rows_of_a_kind_are_refused(draw: Any) -> None:
    with pytest.raises(ValueError, match=r"expected .*, got none"):
        draw([])


def test_pyplot_is_left_alone_and_figures_become_pictures() -> None:
    before = "matplotlib.pyplot" in sys.modules
    figure = plots.certified_accuracy(all_rows())
    picture = pixels(figure)
    assert picture.shape == (round(figure.get_figheight() * 100), round(figure.get_figwidth() * 100), 3)
    assert picture.dtype == np.uint8
    assert picture.min() < 50 < picture.max() == 255
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_certificates_of_epochs_are_a_panel_per_radius(tmp_path: Path) -> None:
    for epoch, counts in enumerate(((99, 40), (99, 99))):
        part = tmp_path / f"certificates/epoch={epoch:03d}"
        part.mkdir(parents=True)
        rows = [smoothing_row(index=index, count=count) for index, count in enumerate(counts)]
        (part / "rank=0.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    figure = plots.certified_by_epoch(tmp_path, radii=[0.0, 0.1, 0.2, 0.3])
    assert [axes.get_title() for axes in figure.axes if axes.axison] == [
        f"Smoothing, certified at {radius} (L2)" for radius in ("0", "0.1", "0.2", "0.3")
    ]
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[0, 50], [1, 100]]
    with pytest.raises(ValueError, match="expected a training run with certificates of several epochs"):
        plots.certified_by_epoch(tmp_path / "certificates")


def test_models_are_curves_side_by_side(tmp_path: Path) -> None:
    for name, count in (("one", 60), ("other", 99)):
        (tmp_path / name).mkdir()
        rows = [smoothing_row(index=index, count=count) for index in range(2)]
        (tmp_path / name / "certificates.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    figure = plots.compared([tmp_path / "one", tmp_path / "other"], ["a", "b"], radii=[0.0, 0.3])
    (axes,) = figure.axes
    assert texts(axes) == ["a", "b"]
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[0, 0], [0.3, 0]], [[0, 100], [0.3, 100]]]
    with pytest.raises(ValueError, match="expected certificates at several radii"):
        plots.compared([tmp_path / "one", tmp_path / "other"], radii=[0.3])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.certified_accuracy(all_rows()), lambda: plots.certified_profile([profile_row(0)]),
        lambda: plots.attack_curves([push_record(0.1, False), push_record(0.2, True)]),
        lambda: plots.level_geometry(geometry_rows(1)),
    ],
    ids=["accuracy", "profile", "attacks", "geometry"],
)  # fmt: skip
def test_legends_cover_no_curve_or_area(draw: Any) -> None:
    figure = draw()
    figure.draw_without_rendering()
    legends = [axes for axes in figure.axes if axes.get_legend()]
    assert legends
    for axes in legends:
        told, drawn = axes.get_legend().get_window_extent(), axes.get_window_extent()
        assert not told.overlaps(drawn)
        labels = [label.get_window_extent() for label in (axes.xaxis.label, *axes.get_xticklabels())]
        assert not any(told.overlaps(label) for label in labels if label.width)
        assert figure.bbox.padded(1).containsx(told.x0)
        assert figure.bbox.padded(1).containsy(told.y0)
