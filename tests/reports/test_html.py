"""The report: one page without links outside, whose numbers are those of the rows."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
from html.parser import HTMLParser
from typing import Any
from xml.dom import minidom

import numpy as np
import pytest
import torch
from PIL import Image
from report_rows import all_rows, profile_row, robustness_rows, semantic_rows, smoothing_row
from sweeps import sweep

from hrvlm.certificates.kinds.profile.charts import depth_shares
from hrvlm.certificates.kinds.profile.figures import profile_depths
from hrvlm.certificates.kinds.registry import record_from_row
from hrvlm.certificates.kinds.semantic.figures import interval_bars
from hrvlm.certificates.kinds.smoothing.figures import certified_accuracy
from hrvlm.evaluation.zero_shot.records import ZeroShotRecord
from hrvlm.figures import INK
from hrvlm.reports.html import AtHand, render_report
from hrvlm.reports.radii import round_radii

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Outline(HTMLParser):
    """Sections, and everything that a browser would fetch; complains of tags that are not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.fetched: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        given = dict(attrs)
        if tag == "section":
            self.sections.append(str(given["id"]))
        self.fetched += [str(given[name]) for name in ("src", "href", "xlink:href", "srcset") if given.get(name)]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def report(rows: list[dict[str, Any]], *more: Any, **options: Any) -> tuple[str, Outline]:
    page = render_report(rows, *more, **options)
    return page, Outline(page)


def data_of(page: str) -> dict[str, Any]:
    (block,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    found: dict[str, Any] = json.loads(block)
    return found


def test_a_report_has_a_section_per_kind_and_fetches_nothing() -> None:
    page, outline = report(all_rows(), robustness_rows(), at_hand=AtHand(lambda index: torch.full((3, 8, 8), 0.5)))
    kinds = ["smoothing", "semantic", "joint", "profile"]
    assert outline.sections == ["overview", *kinds, "robustness-0", "images", "settings"]
    assert {link[:1] for link in outline.fetched} == {"#"}  # parts of the page itself
    pictures = data_of(page)["pictures"]
    assert len(pictures) == 6
    assert all(picture.startswith("data:image/webp;base64,") for picture in pictures)
    assert not re.search(r"url\((?!#)|@import|\bfetch\(|XMLHttpRequest|WebSocket|\bimport\b|innerHTML|\beval\b", page)
    (own,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', page)
    allowed = html.unescape(policy)
    assert allowed.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-")
    assert f"script-src 'sha256-{digest}';" in allowed  # no other script runs
    assert page.count("<script") == 2
    for drawing in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        minidom.parseString(drawing)
    assert "prefers-color-scheme: dark" in page
    assert INK not in page


def test_sections_without_rows_are_left_out_and_no_rows_at_all_refused() -> None:
    assert report([smoothing_row()])[1].sections == ["overview", "smoothing", "images", "settings"]
    assert report([], robustness_rows())[1].sections == ["overview", "robustness-0", "images", "settings"]
    with pytest.raises(ValueError, match="expected rows"):
        render_report([])


def test_the_wording_names_alpha_and_assumptions_of_the_rows() -> None:
    def section(rows: list[dict[str, Any]]) -> str:
        return report(rows)[0].partition('<details id="guarantee-')[2].partition("</details>")[0]

    text = section([smoothing_row()])
    assert "at least 0.99 (alpha = 0.01)" in text
    assert "all 2 levels" in text
    assert "real arithmetic" in text
    assert "Nothing is said about the base classifier" in text
    grid = smoothing_row(float_mode="integer noise on the 8-bit grid")
    assert "real arithmetic" not in section([grid])
    assert "Deterministic" in section(semantic_rows(2))


def test_rows_that_claim_too_much_are_told_of() -> None:
    good = smoothing_row()
    assert "every claim holds" in report([good])[0]
    assert "1 claims do not hold" in report([good | {"radius": 1.1 * good["radius"]}])[0]


def test_names_come_from_outside_and_are_escaped() -> None:
    rows = semantic_rows(2)
    page = report(rows, title="<b>", at_hand=AtHand(None, {("t", 0): ["ant", "<bee>", "cat", "dog"]}))[0]
    assert "<bee>" not in page
    data = data_of(page)
    assert data["names"]["t/0"]["1"] == "<bee>"
    assert "<title>&lt;b&gt;</title>" in page
    assert data_of(report(rows)[0])["names"] == {"t/0": {}}


def test_the_curve_is_certified_accuracy() -> None:
    rows = [smoothing_row(index=i, count=count) for i, count in enumerate([99, 90, 90, 40])]
    rows += [smoothing_row(index=4, count=99, label=2)]
    records = [record_from_row(row) for row in rows]
    (curve,) = certified_accuracy(records).axes[0].patches
    shares, edges, _ = curve.get_data()
    for radius in (0.0, 0.01, records[1].radius - 1e-9, records[1].radius + 1e-9, records[0].radius - 1e-9):
        expected = 100 * np.mean([r.correct and not r.abstain and r.radius >= radius for r in records])
        assert shares[np.searchsorted(edges, radius, side="right") - 1] == pytest.approx(expected)


def test_the_profile_is_the_deepest_certified_level() -> None:
    records = [record_from_row(profile_row(i, radii)) for i, radii in enumerate([(0.1, 0.4), (0.2, 0.2)])]
    figure = profile_depths(records)
    assert len(figure.axes) == 1
    shares = depth_shares(records, np.array([0.05, 0.15, 0.3, 0.5]))
    assert shares.tolist() == [[100, 50, 0, 0], [0, 50, 50, 0]]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["level 0", "level 1"]


@pytest.mark.parametrize("changed", [True, False])
def test_bars_are_coloured_by_the_prediction(changed: bool) -> None:
    row = semantic_rows(1)[0]
    start, stop, own = row["start"], row["stop"], row["prediction"]
    middle = start + 0.25 * (stop - start)
    last = (own + 1) % 4 if changed else own
    row |= {"intervals": [[start, middle, own], [middle, stop, last]], "label": own, "correct": True}
    figure = interval_bars([record_from_row(row)], lambda tree, level, label: f"class {label}")
    first, second = figure.axes[0].patches
    assert (first.get_width(), second.get_x()) == (pytest.approx(25), pytest.approx(25))
    assert (first.get_facecolor() == second.get_facecolor()) is not changed


def test_a_figure_can_be_drawn_as_pixels() -> None:
    records = [record_from_row(row) for row in all_rows()]
    smoothing = [record for record in records if record.kind == "smoothing"]
    out = io.BytesIO()
    certified_accuracy(smoothing).savefig(out, format="png", facecolor="white")
    pixels = np.asarray(Image.open(out).convert("RGB")).reshape(-1, 3)
    assert {(59, 130, 196), (217, 130, 43)} <= set(map(tuple, pixels.tolist()))  # both curves


def test_round_radii_end_below_the_largest() -> None:
    records = [record_from_row(smoothing_row(count=99))]
    radii = round_radii(records[0].radius)
    assert radii[0] == 0
    assert 2 <= len(radii) <= 6
    assert radii[-1] <= records[0].radius < radii[-1] + radii[1]
    assert round_radii(0.0) == [0.0]


@pytest.mark.parametrize("sigma", sweep([1e-30, 1e-7, 1e-4, 2.0, 1e7, 1e30], quick=[1e-30]))
def test_reports_of_any_sigma_can_be_made(sigma: float) -> None:
    factor = sigma / 0.25
    rows = [row | {"sigma": sigma} if "sigma" in row else row for row in all_rows()]
    for row in rows:
        row |= {name: row[name] * factor for name in ("radius",) if name in row}
        row |= {name: [radius * factor for radius in row[name]] for name in ("radii", "asked") if name in row}
    records = [record for record in map(record_from_row, rows) if record.kind == "smoothing"]
    top = max(record.radius for record in records)
    radii = round_radii(top)
    assert 2 <= len(radii) <= 6
    assert radii[-1] <= top < radii[-1] + radii[1]
    assert radii[1] == pytest.approx(radii[2] - radii[1]) if len(radii) > 2 else True
    _, outline = report(rows)
    assert {"smoothing", "profile"} <= set(outline.sections)


def test_attacks_on_another_split_are_told_and_not_mixed_with_its_pictures() -> None:
    def views(page: str) -> list[str]:
        data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
        return [view["heading"] for view in data["views"]]

    rows = [smoothing_row(index=i) for i in range(2)]
    same, other = (
        render_report(rows, robustness_rows(), at_hand=AtHand(attacked_split=split)) for split in (None, "held out")
    )
    assert "Attacks" in views(same)
    assert "Accuracy in percent, each level" in same
    assert set(views(other)) == {"Smoothing"}
    assert "Accuracy in percent on held out, each level" in other


def test_before_stands_before_after_whatever_the_order_of_rows() -> None:
    rows = {stage: [row | {"stage": stage} for row in robustness_rows()] for stage in ("after", "before")}
    page, _ = report([], [*rows["after"], *rows["before"]])
    headings = [html.unescape(heading) for heading in re.findall(r"<h2>(Attacks.*?)</h2>", page)]
    assert [heading.rpartition(", ")[2] for heading in headings] == ["before training", "after training"]
    overview = page.partition('<section id="overview">')[2].partition("</thead>")[0]
    stages = re.findall(r"(before|after) training", overview.partition("<table>")[2])
    assert stages == ["before", "before", "after", "after"]  # clean and attacked of each


def test_what_the_page_warns_of_is_said() -> None:
    said: list[str] = []
    page = render_report([smoothing_row()], radii=[0.0, 2.0, 3.0], warn=said.append)
    (sentence,) = said
    assert "the columns of 2, 3 say nothing about the model" in sentence
    assert sentence in html.unescape(page)


def zero_shot_row(data: str, index: int, attack: str = "clean", **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"label": 1, "prediction": 1, "correct": True} | changes
    return ZeroShotRecord(
        data=data, index=index, num_classes=3, head="cosine", attack=attack, norm="linf",
        eps=0.0 if attack == "clean" else 4 / 255, **given,
    ).to_row()  # fmt: skip


def test_zero_shot_pages_have_a_table_of_images_one_data_set_after_another() -> None:
    def data(rows: list[dict[str, Any]], files: dict[tuple[str, int], str] | None = None) -> dict[str, Any]:
        page = render_report((), zero_shot=rows, at_hand=AtHand(files=files or {}))
        found = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
        assert found is not None
        return json.loads(found[1])

    wrong = {"prediction": 2, "correct": False}
    first = [zero_shot_row("first", 0), zero_shot_row("first", 7), zero_shot_row("first", 7, "pgd3", **wrong)]
    alone = data(first)
    assert (alone["index"], alone["path"]) == ([0, 7], None)
    assert [(view["about"], view["prediction"]) for view in alone["views"]] == [
        ("clean", [1, 1]), ("pgd3 linf 4/255", [None, 2]),
    ]  # fmt: skip
    both = data([*first, zero_shot_row("second", 0, **wrong)])
    assert (both["index"], both["path"]) == ([0, 7, 8], ["first/0", "first/7", "second/0"])
    files = {("first", 0): "a.png", ("first", 7): "b.png", ("second", 0): "a.png"}
    assert data(first, files)["path"] == ["a.png", "b.png"]
    known = data([*first, zero_shot_row("second", 0, **wrong)], files)
    assert known["path"] == ["first/a.png", "first/b.png", "second/a.png"]
    (second,) = [view for view in both["views"] if view["tree"] == "second"]
    assert (second["label"], second["prediction"]) == ([None, None, 1], [None, None, 2])
