"""Parts of pages: columns of the table of images, the headline, charts, and what an earlier page held."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.dom import minidom

import pytest
import torch
from report_rows import joint_row, profile_row, robustness_rows, semantic_rows, smoothing_row
from scipy.stats import norm

from hrvlm.certificates import OracleTask, oracle_records, summarise
from hrvlm.certificates.kinds.registry import kind_named, record_from_row
from hrvlm.certificates.kinds.report import Change, Judged, report_of
from hrvlm.certificates.kinds.smoothing.charts import MOST_STEPS, certified_curve
from hrvlm.charts.areas import areas
from hrvlm.charts.bars import Bar, bars
from hrvlm.charts.frame import Axes, ticks
from hrvlm.charts.lines import Curve, curves
from hrvlm.evaluation.training_runs import epoch_metrics, training_run
from hrvlm.reports.folder_page import write_report
from hrvlm.reports.html import AtHand, render_report
from hrvlm.reports.image_columns import ImageColumns
from hrvlm.reports.overview import Overview
from hrvlm.reports.pictures import Held, held_of, small_pictures
from hrvlm.rows.measures import Measure

AXES = Axes(title="a <b>", x_label="x", y_label="y", description='"d"', x=(0.0, 2.0))


def data_of(page: str) -> dict:
    return json.loads(page.partition('id="data">')[2].partition("</script>")[0])


def cell(**changes) -> Judged:
    return Judged(**({"tree": "t", "level": 0, "level_name": "leaf", "label": 1, "prediction": 1} | changes))


def test_columns_are_aligned_and_lack_what_has_no_row() -> None:
    columns = ImageColumns()
    assert columns.add("K", "radius", 7, [cell(value=0.123456)])
    assert columns.add("K", "radius", 3, [cell(level=1, level_name="top", prediction=0, abstain=True)])
    found = columns.to_json(
        lambda *place: f"name {place[2]}", lambda index: f"{index}.png", {7: "data:,"}, {("t", 0): [2, 5]}
    )
    leaf, top = found["views"]
    assert found["index"] == [3, 7]
    assert found["path"] == ["3.png", "7.png"]
    assert found["pictures"] == [0, "data:,"]
    assert (leaf["prediction"], leaf["value"], leaf["abstained"]) == ([None, 1], [None, 0.1235], [0, 0])
    assert (top["label"], top["prediction"], top["abstained"]) == ([1, None], [0, None], [1, 0])
    assert found["names"] == {"t/0": {1: "name 1"}, "t/1": {0: "name 0", 1: "name 1"}}
    assert found["parents"] == {"t/0": [2, 5]}


def test_rows_of_one_cell_are_averaged_and_abstain_only_together() -> None:
    columns = ImageColumns()
    assert columns.add("K", "share", 0, [cell(value=0.5, abstain=True)])
    assert not columns.add("K", "share", 0, [cell(value=1.0)])
    (view,) = columns.to_json(lambda *place: None, lambda index: None, {}, {})["views"]
    assert (view["value"], view["abstained"]) == ([0.75], [0])


def test_bars_are_told_in_few_letters() -> None:
    columns = ImageColumns()
    for index, intervals in enumerate([(), ((1.0, 1),), ((0.25, 1), (1.0, 4))]):
        columns.add("K", "", index, [cell()], Change(change="dark", intervals=intervals, stretches=((0.1, 0.5),)))
    columns.add("K", "", 3, [cell()])
    found = columns.to_json(lambda *place: None, lambda index: None, {}, {})
    assert found["changes"] == [
        {"view": 0, "change": "dark", "about": "", "rows": ["-|0.1 500", "|0.1 500", "250 1;1000 4|0.1 500", None]}
    ]


def test_the_headline_is_the_strongest_attack_and_the_largest_radius_at_which_anything_is_certified() -> None:
    overview = Overview()
    shares = {
        "clean": 3,
        "under pgd20": 2,
        "under apgd": 1,
        "certified at 0": 3,
        "certified at 0.1": 2,
        "certified at 0.9": 0,
    }
    for index in range(4):
        for name, right in shares.items():
            overview.add("K", [(Measure("(all)", 0, "leaf", name, "right"), float(index < right))])
        overview.add("K", [(Measure("(all)", 0, "leaf", "mean certified radius", "number"), 0.2 * index)])
    section = overview.section(["Beware."])
    assert section is not None
    assert section["numbers"] == [
        ("75.0 %", "clean, leaf"), ("25.0 %", "under apgd, leaf"), ("50.0 %", "certified at 0.1, leaf"),
        ("0.300", "mean certified radius, leaf"),
    ]  # fmt: skip
    said = [sentence for sentence, _ in section["reading"]]
    assert section["reading"][0] == ("Beware.", True)
    assert "less than 0.1 in L2" in " ".join(said)
    assert "over 4 images only" in said[-1]
    (row,) = section["tables"][0]["rows"]
    assert ("75.0 (19.4 to 99.4)", "number") in row  # Clopper and Pearson's interval of 3 of 4
    assert Overview().section([]) is None


def test_leaves_of_all_trees_are_one_line_of_the_overview() -> None:
    page = render_report([smoothing_row(), profile_row(), profile_row(1), joint_row()])
    overview = page.partition('<section id="overview">')[2].partition("</section>")[0]
    assert overview.count('<td class="">level 0</td>') == overview.count("<table>") > 0


def test_the_headline_of_a_training_run_is_about_its_end() -> None:
    before = [row | {"stage": "before", "prediction": 0, "correct": False} for row in robustness_rows()]
    after = [row | {"stage": "after"} for row in robustness_rows()]
    after = [row | ({"prediction": 1, "correct": True} if row["index"] == 1 else {}) for row in after]
    page = render_report([], [*before, *after])
    numbers = page.partition('<ul class="numbers">')[2].partition("</ul>")[0]
    assert "<b>50.0 %</b>under pgd20" in numbers  # none before
    assert "before training" not in numbers
    alone = render_report([], before).partition('<ul class="numbers">')[2].partition("</ul>")[0]
    assert "<b>0.0 %</b>under pgd20" in alone


def test_the_headline_has_the_accuracy_of_most_images() -> None:
    overview = Overview()
    for count, name in [(8, "clean"), (2, "accuracy, cosine"), (1, "accuracy, poincare")]:
        overview.add("K", [(Measure("(all)", 0, "leaf", name, "right"), float(i > 1)) for i in range(count)])
    section = overview.section([])
    assert section is not None
    assert section["numbers"] == [("75.0 %", "clean, leaf")]


def test_images_of_several_trees_count_once_each() -> None:
    """Twice the images would make the intervals of the leaves too narrow."""
    rows = [profile_row(index) | {"tree": tree} for index in range(4) for tree in ("t", "u")]
    overview = render_report(rows).partition('<section id="overview">')[2].partition("</section>")[0]
    leaves = [line for line in overview.split("<tr>") if '<td class="">level 0</td>' in line]
    assert len(leaves) == 2
    # 4 of 4: the lower end is 0.025 ** (1 / 4)
    assert all("100.0 <small>(39.8 to 100.0)</small>" in line for line in leaves)
    assert "of 8 images" not in overview


@pytest.mark.parametrize("count", [3, 1000])
def test_steps_of_a_curve_are_exact_where_they_are_told(count: int) -> None:
    records = [record_from_row(smoothing_row(index=i, label=1 if i % 3 else 2)) for i in range(count)]
    for i, record in enumerate(records):
        object.__setattr__(record, "radius", 0.01 * i)
    curve = certified_curve("leaf", records)
    assert len(curve.x) <= MOST_STEPS + 1
    for x, y, low, high in zip(curve.x[:-1], curve.y[:-1], curve.low, curve.high, strict=False):
        right = sum(r.correct and not r.abstain and r.radius >= x for r in records)
        assert y == pytest.approx(100 * right / count)
        assert low <= y <= high
    assert curve.y[-1] == 0


def test_charts_are_xml_and_escape_names() -> None:
    lines = [Curve('"<c>', [0.0, 1.0, 2.0], [1.0, None, 3.0], [0, 0, 0], [5, 5, 5])]
    for drawn in (curves(lines, AXES), curves(lines, AXES, step=True), areas([Curve("<d>", [1.0], [20.0])], AXES),
                  bars([Bar("<e>", 40.0, 50.0)], title="<f>", x_label="x", names=("a", "b"))):  # fmt: skip
        minidom.parseString(drawn)
        assert "<b>" not in drawn
    assert 'data-y="1 - 3"' in curves(lines, AXES)


def test_steps_hold_up_to_their_x_and_lines_break_at_gaps() -> None:
    at = [AXES.across(x) for x in (0.0, 1.0, 2.0)]
    up = [AXES.down(y) for y in (100.0, 50.0)]
    drawn = curves([Curve("c", [1.0, 2.0], [100.0, 50.0])], AXES, step=True)
    assert f'd="M{at[0]:.1f} {up[0]:.1f}H{at[1]:.1f}V{up[1]:.1f}H{at[2]:.1f}"' in drawn
    drawn = curves([Curve("c", [0.0, 1.0, 2.0], [100.0, None, 50.0])], AXES)
    assert f'd="M{at[0]:.1f} {up[0]:.1f}h0M{at[2]:.1f} {up[1]:.1f}h0"' in drawn


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0.0, 100.0, 5) == [0, 20, 40, 60, 80, 100]
    assert ticks(0.0, 0.19) == pytest.approx([0, 0.05, 0.1, 0.15])
    assert ticks(0.0, 3.0, whole=True) == [0, 1, 2, 3]
    assert ticks(0.0, 0.0) == [0.0]


def test_pictures_of_an_earlier_page_are_kept_and_nothing_else(tmp_path: Path) -> None:
    pictures = small_pictures([0, 2], lambda index: torch.full((3, 300, 200), 0.1 * index))
    assert all(link.startswith("data:image/webp;base64,") for link in pictures.values())
    names = {("t", 0): ["a", "b", "c", "d"]}
    at_hand = AtHand(lambda index: torch.zeros(3, 8, 8), names, {("t", 0): [0, 0, 1, 1]})
    path = tmp_path / "report.html"
    path.write_text(render_report(semantic_rows(2), at_hand=at_hand), encoding="utf-8")
    held = held_of(path)
    assert set(held.pictures) == {0, 1}
    assert held.names["t/0"]["1"] == "b"
    again = data_of(render_report(semantic_rows(2), at_hand=AtHand(held=held)))
    assert again == data_of(path.read_text(encoding="utf-8"))
    bad = path.read_text(encoding="utf-8").replace("data:image/webp", "https://a.b/c")
    path.write_text(bad, encoding="utf-8")
    assert held_of(path).pictures == {}
    nested, endless = "[" * 100_000, '{"index":[0],"pictures":[0],"path":null,"names":{},"parents":{"t/0":[Infinity]}}'
    for data in ("", nested, endless):
        path.write_text(f'<script type="application/json" id="data">{data}</script>', encoding="utf-8")
        assert held_of(path) == Held()
    path.write_text("<script", encoding="utf-8")
    assert held_of(path) == held_of(tmp_path / "absent.html") == Held()


def test_attacks_on_other_pictures_do_not_enter_the_table_of_certificates() -> None:
    same = data_of(render_report([smoothing_row(label=1)], robustness_rows()))
    other = data_of(render_report([smoothing_row(label=2)], robustness_rows()))
    assert {view["heading"] for view in same["views"]} == {"Attacks", "Smoothing"}
    assert {view["heading"] for view in other["views"]} == {"Smoothing"}


def test_radii_that_no_image_can_reach_are_warned_of() -> None:
    page = render_report([smoothing_row(count=99)], radii=[0.0, 0.2, 0.45, 0.5])
    assert "no image can be certified beyond L2 radius 0.407" in page  # 0.25 times the quantile of 0.005 ** 0.01
    assert "the columns of 0.45, 0.5 say nothing" in page
    assert "no image can be certified" not in render_report([smoothing_row(count=99)], radii=[0.0, 0.4])


def training(folder: Path) -> Path:
    for part, count in (("before", 60), ("epoch=000", 90), ("epoch=001", 99), ("final", 99)):
        path = folder / "certificates" / part / "rank=0.jsonl"
        path.parent.mkdir(parents=True)
        rows = [smoothing_row(index=i, count=count, seed=int(part == "final")) for i in range(2)]
        rows.append(profile_row())
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "robustness").mkdir()
    rows = [row | {"stage": "after"} for row in robustness_rows()]
    (folder / "robustness" / "after.rank=0.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "geometry").mkdir()
    point = {"epoch": 0, "kind": "geometry", "tree": "t", "level": 1, "level_name": "top", "of": "text", "node": "a",
             "point_norm": 0.5, "margin": 2.0}  # fmt: skip
    (folder / "geometry" / "epoch=000.jsonl").write_text(json.dumps(point) + "\n")
    (folder / "metrics.csv").write_text("epoch,step,train/loss,val/acc\n0,1,2.5,\n0,2,,0.5\n1,3,1.5,\n1,4,nan,0.75\n")
    return folder


def test_a_training_run_has_a_page_with_its_epochs(tmp_path: Path) -> None:
    run = training_run(training(tmp_path))
    assert run is not None
    assert list(run.certificates) == ["before", "epoch=000", "epoch=001", "final"]
    assert [path.parent.name for path in run.end] == ["final"]
    metrics = epoch_metrics(tmp_path)
    assert metrics["val/acc"] == {0: 0.5, 1: 0.75}
    path, lacking = write_report(tmp_path, radii=[0.0, 0.3])
    page = path.read_text(encoding="utf-8")
    assert lacking
    for anchor in ("overview", "smoothing", "robustness-0", "training", "epochs", "geometry", "images"):
        assert f'<section id="{anchor}"' in page
    assert "<h2>Attacks: linf eps=" in page
    assert ", after training</h2>" in page
    assert 'data-name="level 0" data-x="0 1" data-y="100 100"' in page  # certified at 0 after both epochs
    assert 'data-name="level 0" data-x="0 1" data-y="0 100"' in page  # at 0.3: kinds are not averaged with each other
    assert 'data-name="t/level 1" data-x="0 1" data-y="100 100"' in page
    assert "Hierarchical profile, certified at 0.3 (L2)" in page
    assert 'data-name="val/acc" data-x="0 1" data-y="0.5 0.75"' in page
    assert 'data-name="t/top, text" data-x="0" data-y="0.5"' in page
    assert training_run(tmp_path / "certificates") is None


def test_a_page_has_the_radii_of_the_summary(tmp_path: Path) -> None:
    (tmp_path / "certificates.jsonl").write_text(json.dumps(smoothing_row()) + "\n")
    summary = {"smoothing": {"t": {"0": {"certified_accuracy": {"0.0": 1.0, "0.15": 1.0}}}}}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    page = write_report(tmp_path)[0].read_text(encoding="utf-8")
    assert "r=0.15" in page
    assert "r=0.05" not in page
    (tmp_path / "summary.json").unlink()
    assert "r=0.05" in write_report(tmp_path)[0].read_text(encoding="utf-8")


def answer_row(unparseable: int) -> dict:
    """100 answers, as an oracle of three classes labels them."""
    task = OracleTask(oracle="action", classes=("go", "stop", "unparseable"), generator="m", prompt="act", decoding={
        "max_new_tokens": 8, "temperature": 0.0, "top_k": None, "top_p": None,
    })  # fmt: skip
    counted = replace(record_from_row(smoothing_row(label=1)), num_statements=1, alpha_share=0.01)
    (record,) = oracle_records(counted, task, unparseable=unparseable, error=None, answer="go to it")
    return record.to_row()


def test_oracles_that_can_read_nothing_are_warned_of() -> None:
    for unparseable, warned in ((5, False), (60, True)):
        record = record_from_row(answer_row(5) | {"unparseable": unparseable})
        report = report_of(kind_named("oracle"))
        assert bool(report.warnings([record])) is warned
        assert bool(report.table(summarise([record], [0.0])["oracle"]).caption) is warned


def test_answers_are_shown_beside_their_classes() -> None:
    data = data_of(render_report([answer_row(5)]))
    (view,) = data["views"]
    assert view["texts"] == ["go to it"]
    assert data["names"][view["names"]]["1"] == "stop"


def test_mean_radii_of_answers_without_references_are_of_any_class() -> None:
    record = record_from_row(answer_row(5) | {"label": -1, "correct": False})
    summary = summarise([record], [0.0])["oracle"]
    table = report_of(kind_named("oracle")).table(summary)
    (mean,) = [next(iter(column.cells)) for column in table.columns if column.header == "mean radius"]
    assert mean == f"{record.radius:.3f}*"
    assert "average_radius" not in summarise([record_from_row(answer_row(5))], [0.0])["oracle"]["action"]["composite"]


def test_radii_that_no_profile_can_reach_are_warned_of() -> None:
    ceiling = 0.25 * norm.ppf((0.005 / 2) ** 0.01)  # of a hundred right copies, at half of the alpha for each level
    page = render_report([profile_row()], radii=[0.0, 0.3, 0.4])
    assert f"Hierarchical profile: no image can be certified beyond L2 radius {ceiling:.3g} with" in page
    assert "the columns of 0.4 say nothing" in page
    fixed = {"budget": "fixed radii", "asked": (0.1, 0.4), "deepest": (0, -1), "radii": (), "lower": ()}
    record = replace(record_from_row(profile_row()), **fixed)
    assert report_of(kind_named("profile")).ceiling([record]) is None


def test_names_of_bars_are_whole_and_the_bars_begin_behind_them() -> None:
    names = ["emoji", "emoji_unicode/subgroup"]
    drawing = minidom.parseString(bars([Bar(name, 50.0) for name in names], title="t", x_label="x", names=["all"]))
    texts = {text.firstChild.data: text for text in drawing.getElementsByTagName("text")}
    assert set(names) <= set(texts)
    begins = {float(bar.getAttribute("x")) for bar in drawing.getElementsByTagName("rect")}
    assert len(begins) == 1
    assert all(float(texts[name].getAttribute("x")) < min(begins) for name in names)
    assert float(texts[names[1]].getAttribute("x")) > 6.5 * len(names[1])  # as wide as its letters


def test_many_measures_are_told_in_several_tables_a_heading_in_one() -> None:
    overview = Overview()
    radii = [f"certified at {k / 10}" for k in range(10)]
    for heading, names in (("Attacks", ["clean", "under pgd20"]), ("Smoothing", radii), ("Profile", radii)):
        for name in names:
            overview.add(heading, [(Measure("(all)", 0, "leaf", name, "right"), 1.0)])
    section = overview.section([])
    assert section is not None
    heads = [[name for name, _ in table["head"]] for table in section["tables"]]
    assert [len(head) for head in heads] == [2 + 2 + 10, 2 + 10]
    assert heads[0][:5] == ["tree", "level", "clean", "under pgd20", "certified at 0.0 (Smoothing)"]
    assert heads[1][:3] == ["tree", "level", "certified at 0.0 (Profile)"]
    assert all(len(table["rows"][0]) == len(table["head"]) for table in section["tables"])


def test_radii_head_columns_as_they_are_meant() -> None:
    page = render_report([smoothing_row(), joint_row(), profile_row()], radii=[0.0, 0.05 * 3])
    assert 'class="number">r=0.15</th>' in page
    assert "0.15000000000000002" not in page.partition('id="data"')[0]
