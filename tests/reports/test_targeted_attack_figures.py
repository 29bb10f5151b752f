"""The curves of attacks towards a forbidden answer, against counts by hand."""

from __future__ import annotations

import re
from xml.dom import minidom

import pytest
from pushed_rows import RECORDS

from hrvlm.generative.targeted_attack_records import TargetedAttackRecord, success_over_radius
from hrvlm.reports.html import render_report
from hrvlm.reports.targeted_attack_figures import attack_curves


def test_success_is_counted_per_bin_inside_and_beyond_certificates() -> None:
    found = success_over_radius(RECORDS)
    inside = [(point["successes"], point["attacked"]) for point in found["inside"]]
    beyond = [(point["successes"], point["attacked"]) for point in found["beyond"]]
    assert inside == [(0, 4), (0, 1), (0, 1)]  # up to 0.1, 1.0, 1.5
    assert beyond == [(1, 1), (3, 5)]
    assert [point["eps"] for point in found["inside"]] == pytest.approx([(0.1 * 3 + 0.04) / 4, 0.14, 1.5])
    assert [point["eps"] for point in found["beyond"]] == pytest.approx([0.1, 1.0])
    assert success_over_radius([]) == {"inside": [], "beyond": []}
    assert sum(len(found[side]) for side in found) == 5


def test_curves_are_percent_of_the_attacked_images() -> None:
    left, right = attack_curves(RECORDS).axes
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in left.lines}
    assert drawn == {
        "without smoothing": ([0.1, 1.0], [25.0, 75.0]),
        "with smoothing": ([0.1, 1.0], [25.0, 60.0]),
    }
    drawn = {line.get_label(): list(line.get_ydata()) for line in right.lines}
    assert drawn == {
        "inside certified radii (0 of 6)": [0.0, 0.0, 0.0],
        "beyond certified radii (4 of 6)": [100.0, 60.0],
    }


@pytest.mark.parametrize("records", [RECORDS, RECORDS[:4], []], ids=["both", "plain", "none"])
def test_a_report_of_pushes_alone_has_figure_and_table(records: list[TargetedAttackRecord]) -> None:
    if not records:
        with pytest.raises(ValueError, match="expected rows of certificates or of attacks"):
            render_report([], targeted_attacks=[])
        return
    page = render_report([], targeted_attacks=[record.to_row() for record in records])
    (drawing,) = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    minidom.parseString(drawing)
    assert "without smoothing" in drawing
    assert "Images pushed to &#39;go to&#39;" in page
    assert "What is guaranteed" not in page
    attacks = {4: "4 images, 4 rows of attacks", len(RECORDS): f"6 images, {len(RECORDS)} rows of attacks"}
    assert f'<p class="quiet">{attacks[len(records)]}</p>' in page  # and nothing of certificates
    assert "Derived anew" not in page


def test_one_row_is_no_rows() -> None:
    page = render_report([], targeted_attacks=[RECORDS[0].to_row()])
    assert '<p class="quiet">1 image, 1 row of attacks</p>' in page
