"""A kind of certificate in one file and one line of the registry is made, checked, told and tested as others are."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import test_every_kind as battery
import toy_kind
import yaml
from kind_examples import EXAMPLES, Example

from hrvlm.certificates import read_rows, summarise
from hrvlm.certificates.kinds.registry import REGISTRY
from hrvlm.certificates.kinds.summary import scalars
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.cli.certify import main
from hrvlm.reports.exporting import read_parquet
from hrvlm.reports.schema import field_table

TESTS = [
    function
    for name, function in vars(battery).items()
    if name.startswith("test_") and "name" in inspect.signature(function).parameters
]
DOCUMENT = f"""
## `toy`: an embedding may move

{field_table(toy_kind.ToyRecord)}

{battery.UNKNOWN}

* `toy`: `index`, `level`, `label`, `prediction`, and so on.
"""


@pytest.fixture
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The one line."""
    monkeypatch.setitem(REGISTRY, "toy", "toy_kind:KIND")
    return


@pytest.fixture
def folder(
    _registered: None, tiny_model: Path, pictures: Path, tree_file: Path, tmp_path: Path, capsys: Any
) -> tuple[Path, str]:
    """A run of `certify.py run` that asks for toy and smoothing certificates, and what it printed."""
    data = {"evaluation_folders": {"validation": str(pictures)}, "train_folder": str(pictures), "image_size": 32,
            "batch_size": 8, "num_workers": 0}  # fmt: skip
    plan = {"num_images": 4, "sigma": 0.02, "n0": 4, "n": 20, "alpha": 0.05, "semantic": False, "batch_size": 64,
            "kinds": {"toy": {"least": 0.0}}}  # fmt: skip
    settings = {
        "data": {"class_path": "hrvlm.data.folder.FolderDataModule", "init_args": data},
        "trees": [str(tree_file)],
        "plan": plan,
    }
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    arguments = ["--config", str(config), "--checkpoint", str(tiny_model), "--output", str(tmp_path / "run")]
    main(["run", *arguments])
    main(["run", *arguments])  # finds all that it owes
    return tmp_path / "run", capsys.readouterr().out


def test_a_run_makes_checks_and_tells_the_certificates_of_a_new_kind(folder: tuple[Path, str], capsys: Any) -> None:
    path, printed = folder
    rows = read_rows(path / "certificates.jsonl")
    toys = [row for row in rows if row["kind"] == "toy"]
    assert [row["index"] for row in toys] == [0, 8, 16, 24]
    assert {row["kind"] for row in rows} == {"smoothing", "toy"}
    assert "Toy certificates" in printed
    summary = json.loads((path / "summary.json").read_text())
    assert summary["toy"] == summarise(rows, [0.0])["toy"]
    mean = sum(row["distance"] for row in toys) / 4
    assert summary["toy"]["kinds"]["0"]["mean_distance"] == pytest.approx(mean)
    page = (path / "report.html").read_text(encoding="utf-8")
    assert '<section id="toy"><h2>A toy</h2>' in page
    assert "Deterministic: of 4 embeddings" in page
    main(["export", str(path), "--to", "parquet"])
    assert read_parquet(path / "toy.parquet") == toys
    assert json.loads((path / "settings.json").read_text())["kinds"] == {"toy": {"least": 0.0}}


def test_rows_of_a_new_kind_are_verified(folder: tuple[Path, str], capsys: Any) -> None:
    file = folder[0] / "certificates.jsonl"
    main(["verify", str(folder[0])])
    assert "12 certificates, 0 that" in capsys.readouterr().out
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    changed = [row | {"distance": 1.05 * row["distance"]} if row["kind"] == "toy" else row for row in rows]
    file.write_text("".join(json.dumps(row) + "\n" for row in changed), encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["verify", str(folder[0])])
    assert "distance" in "".join(capsys.readouterr())


def toy_rows(count: int = 4, gap: float = 0.25) -> list[dict[str, Any]]:
    told = {"tree": "t", "level": 0, "level_name": "leaf"}
    made = (toy_kind.made(0.5, 0.5 - gap / (i + 1), 0.01, 1, index=i, label=i % 2, **told) for i in range(count))
    return [record.to_row() for record in made]


@pytest.mark.usefixtures("_registered")
def test_loggers_and_plans_know_a_new_kind() -> None:
    rows = toy_rows()
    mean = sum(row["distance"] for row in rows) / len(rows)
    assert scalars(summarise(rows, [])) == {"certificates/toy/t/0/mean_distance": pytest.approx(mean)}
    with pytest.raises(ValueError, match="expected least >= 0 for toy certificates"):
        CertificationPlan(kinds={"toy": {"least": -1.0}})
    assert [kind.name for kind in CertificationPlan(kinds={"toy": {"least": 0.0}}).only(["toy"]).asked] == ["toy"]


def test_a_kind_that_is_not_registered_is_refused() -> None:
    with pytest.raises(ValueError, match="expected kinds of certificate among"):
        CertificationPlan(kinds={"toy": {"least": 0.0}})


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.__name__)
def test_the_battery_takes_a_new_kind(
    test: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "records.md").write_text(DOCUMENT, encoding="utf-8")
    monkeypatch.setattr(battery, "DOCUMENT", tmp_path / "records.md")
    example = Example(toy_rows, lambda: toy_rows(gap=0.0), partly=frozenset({"least"}))
    monkeypatch.setitem(EXAMPLES, "toy", example)
    test("toy", **({"tmp_path": tmp_path} if "tmp_path" in inspect.signature(test).parameters else {}))
