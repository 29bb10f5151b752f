"""Names that look like markup, formulas, escape sequences or paths, at every border that they cross."""

from __future__ import annotations

import ast
import io
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from report_rows import joint_row, profile_row, robustness_rows, semantic_rows, smoothing_row
from rich.table import Table
from sweeps import sweep

import hrvlm
from hrvlm.certificates import summarise
from hrvlm.certificates.kinds.profile.figures import profile_depths
from hrvlm.certificates.kinds.registry import record_from_row
from hrvlm.certificates.kinds.semantic.figures import interval_bars, mean_invariance
from hrvlm.certificates.kinds.smoothing.figures import certified_accuracy
from hrvlm.cli.errors import sentence
from hrvlm.cli.main import main
from hrvlm.evaluation.progress import LiveTask, live_display
from hrvlm.figures import svg
from hrvlm.reports.certificates import certificate_tables
from hrvlm.reports.exporting import to_tsv
from hrvlm.reports.html import AtHand, render_report
from hrvlm.reports.tables import robustness_table, transfer_tables
from hrvlm.reports.terminal import PlainConsole, bold, console, say
from hrvlm.trees import ClassTree, Node, TreeInfo, load_tree, save_tree
from hrvlm.trees.words import file_name

NAMES = ("[/b]", "[red]x[/red]", ":smile:", "\x1b[31mred", "$x_{$", "_hidden", r"\alpha $\frac$", "a\u202eb", "日本語")
SHOWN = {"\x1b[31mred": r"\x1b[31mred", "a\u202eb": r"a\u202eb"}


def printed(*renderables: Any) -> str:
    out = PlainConsole(file=io.StringIO(), width=400, force_terminal=True, color_system=None)
    for renderable in renderables:
        out.print(renderable)
    found: str = out.file.getvalue()  # type: ignore[attr-defined]
    return found


def named(row: dict[str, Any], name: str) -> dict[str, Any]:
    """The row with the name in place of every word that comes from users."""
    words = {"tree", "level_name", "attribute", "attacked_tree", "attack", "level_names", "node_names"} & set(row)
    changed = {key: [name, f"{name} 2"] if isinstance(row[key], list) else name for key in words if row[key] != "clean"}
    return row | {key: value for key, value in changed.items() if row[key] is not None}


@pytest.mark.parametrize("name", NAMES)
def test_tables_show_names_as_they_are(name: str) -> None:
    rows = [named(row, name) for row in (smoothing_row(level=1), joint_row(), profile_row(), *semantic_rows(level=1))]
    summary = summarise(rows, [0.0, 0.1])
    tables = certificate_tables(summary)
    assert len(tables) == 4
    attacked = [named(row, name) for row in robustness_rows()]
    tables += [robustness_table(attacked, title=name), *transfer_tables(attacked)]
    for table in tables:
        text = printed(table)
        assert SHOWN.get(name, name) in text
        assert not {"\x1b", "\u202e"} & set(text)


@pytest.mark.parametrize("name", sweep([*NAMES, "a" * 300], quick=NAMES[4:6]))
def test_figures_and_pages_show_names_as_they_are(name: str) -> None:
    rows = [named(row, name) for row in (smoothing_row(level=1), profile_row(), *semantic_rows(level=1))]
    records = [record_from_row(row) for row in rows]
    semantic = records[2:]
    wanted = SHOWN.get(name, name)[:39]
    for figure in (
        certified_accuracy(records[:1]),
        profile_depths(records[1:2]),
        mean_invariance(semantic),
        interval_bars(semantic[:2], lambda tree, level, label: name),
    ):
        drawn = svg(figure, f"of {name}".replace("\x1b", ""))
        texts = "".join(ElementTree.fromstring(drawn).itertext())
        assert wanted in texts
        assert not {"\x1b", "\u202e"} & set(texts)
    page = render_report(rows, title=name, at_hand=AtHand(names={(name, 1): [name] * 4}), settings={"name": name})
    assert not {"\x1b", "\u202e"} & set(page)


def test_labels_with_an_underscore_stay_in_legends() -> None:
    figure = certified_accuracy([record_from_row(smoothing_row() | {"level_name": "_all"})])
    (legend,) = [axes.get_legend() for axes in figure.axes]
    assert [text.get_text().strip("\u200b") for text in legend.get_texts()] == ["_all"]


def test_names_become_file_names_of_their_own() -> None:
    names = [
        "a/b",
        "a:b",
        "a_b",
        "a b",
        "a\\b",
        "..",
        ".a",
        "a.",
        "-a",
        "",
        "ä",
        "ä" * 300,
        "a" * 300,
        "a" * 299,
        "\x1b",
        "$x",
    ]
    found = [file_name(name) for name in names]
    assert len(set(found)) == len(set(map(str.casefold, found))) == len(names)
    assert all(name and len(name.encode()) <= 100 and Path(name).name == name and name[0] not in ".-" for name in found)
    for name in ("emoji_unicode", "a_b", "a b", "ä", "imagenet-2", "v1.2"):
        assert file_name(name) == name


def test_exports_of_trees_with_any_names_lie_side_by_side(tmp_path: Path) -> None:
    names = ["a/b", "a:b", "a_b", "x" * 300]
    tables = to_tsv(smoothing_row(level=1) | {"tree": name} for name in names)
    assert len(tables) == 4
    for file, text in tables.items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    assert "smoothing.a_b.1.tsv" in tables


def test_text_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("[b]", title="[/b]", caption=":smile: \x1b", min_width=40)
    table.add_row("[/i]")
    text = printed("[/b] \x1b[0m\nnext", table, bold("[/u]\x07", "at "))
    assert [line.rstrip() for line in text.splitlines()[:2]] == [r"[/b] \x1b[0m", "next"]
    for part in ("[b]", "[/b]", r":smile: \x1b", "[/i]", r"at [/u]\x07"):
        assert part in text
    say("a\x1b[2J\nb", end="")
    assert capsys.readouterr().out == "a\\x1b[2J\nb"
    assert sentence(ValueError("expected \x1b[2J\n one\tline")) == r"expected \x1b[2J one line"
    assert console().width == 120


def test_trees_with_any_names_are_shown_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def write(name: str, *leaves: str) -> str:
        nodes = [Node("t1", "[/b] top", None), Node("t2", "t2", None)]
        nodes += [Node(f"{leaf}{i}", f"{leaf} {i}", f"t{i % 2 + 1}") for leaf in leaves for i in range(2)]
        path = tmp_path / f"{len(leaves)}.yaml"
        save_tree(ClassTree.from_nodes(nodes, TreeInfo(name=name, level_names=("[i]", "[/i]"))), path)
        return str(path)

    one, two = write("[/x]", *NAMES), write("\x1b[1m", *NAMES[1:])
    for arguments in (["show", one], ["show", two, "--prompts"], ["check", one, two]):
        main(["tree", *arguments])
    with pytest.raises(SystemExit):
        main(["tree", "diff", one, two])
    text = capsys.readouterr().out
    for part in ("[/b] top", "a picture of a [red]x[/red] 1", "[/x]: 2 levels (18 [i], 2 [/i])", "[/b]0", r"\x1b[1m"):
        assert part in text
    assert "\x1b" not in text
    (tmp_path / "p.json").write_text(
        '{"name": "a/../b", "source": "s", "licence": "l", "groups": [{"name": "x", "leaves": ["f"]},'
        '{"name": "y", "leaves": ["g"]}]}'
    )
    (tmp_path / "classes.txt").write_text("f\ng\n")
    main(["tree", "import", str(tmp_path / "p.json"), "--leaves", str(tmp_path / "classes.txt")])
    (path,) = tmp_path.glob("a_*.yaml")
    assert load_tree(path).name == "a/../b"


def test_there_is_one_way_to_the_terminal() -> None:
    """A console made elsewhere would read names as markup again; that of progress shows its texts alone."""
    wrong, allowed = [], ("terminal.py", "progress.py")
    for path in Path(hrvlm.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = getattr(node, "module", None) if isinstance(node, ast.ImportFrom) else None
            if module in ("rich.console", "rich.markup", "rich") and path.name not in allowed:
                wrong.append(f"{path.name}: {module}")
    assert wrong == []


def test_progress_shows_names_as_they_are() -> None:
    display = live_display()
    LiveTask(display, "certifying [/b] of [red]a\x1b[2J", 3).advance()
    written = io.StringIO()
    PlainConsole(file=written, width=120).print(display.make_tasks_table(display.tasks))
    assert "certifying [/b] of [red]a\\x1b[2J" in written.getvalue()
