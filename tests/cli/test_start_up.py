"""Commands that need no model do not wait for the libraries of models: each runs in a new Python that names them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hrvlm
import hrvlm.certificates
from hrvlm.certificates import RecordWriter
from hrvlm.certificates.sampling.replay import replay
from hrvlm.cli import certify
from hrvlm.cli.command_table import CERTIFY, HRVLM, RENAMED
from hrvlm.evaluation import folder_names, folders
from hrvlm.models import load_model
from hrvlm.trees import load_forest, load_tree

ROOT = Path(__file__).parents[2]
CIFAR10, CIFAR100 = (str(ROOT / "trees" / f"{name}.yaml") for name in ("cifar10", "cifar100"))
MODELS = ["open_clip", "torchvision", "lightning", "torchattacks", "transformers"]
SLOW = ["lightning", "transformers", "torch._dynamo", "sympy", "torchmetrics.metric", "timm.models", "matplotlib"]
STATISTICS = ["scipy.stats", "scipy.optimize", "scipy.signal", "scipy.special", "sklearn"]
HEAVY = ["torch", "numpy", "scipy", "nltk", "numba", "pandas", *STATISTICS, *MODELS, *SLOW]
NEEDING_MODELS = [name for name, entry in CERTIFY.items() if entry.model]


def said_by(code: str, **variables: str) -> list[str]:
    """Lines that code prints in a process of its own, which must end well."""
    ask: dict[str, Any] = {"cwd": ROOT, "capture_output": True, "text": True, "env": os.environ | variables}
    done = subprocess.run([sys.executable, "-c", code], **ask)
    assert done.returncode == 0, done.stderr
    found: list[str] = done.stdout.splitlines()
    return found


def imported(program: str, *arguments: str) -> set[str]:
    """Heavy packages that a command has imported when it ends."""
    return imported_by_all(program, [*arguments])


def imported_by_all(program: str, *commands: list[str]) -> set[str]:
    """Heavy packages that any of several commands has imported, one after the other in one process."""
    code = (
        "import json, sys\n"
        f"from hrvlm.cli.{program} import main\n"
        f"for words in {list(commands)}:\n"
        "    try:\n        main(words)\n"
        "    except SystemExit as stopped:\n        assert not stopped.code, stopped.code\n"
        f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    )
    return set(json.loads(said_by(code)[-1]))


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("main", ["--help"]),
        ("main", ["tree", "--help"]),
        ("main", ["tree", "show", CIFAR10]),
        ("main", ["tree", "check", CIFAR10, CIFAR100]),
        ("main", ["tree", "diff", CIFAR10, CIFAR10]),
        ("certify", ["--help"]),
        ("certify", ["verify", "--help"]),
        ("certify", ["export", "--help"]),
        ("certify", ["compare", "--help"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(Path(word).stem for word in value),
)
def test_help_and_trees_import_nothing_heavy(program: str, arguments: list[str]) -> None:
    assert imported(program, *arguments) == set()


def test_help_of_every_command_imports_nothing_heavy() -> None:
    commands = [["train", "fit", "--help"], ["train", "validate", "--help"], ["--version"], ["train", "--help"]]
    commands += [["certify", name, "--help"] for name in CERTIFY]
    commands += [[name, "--help"] for name in HRVLM]
    assert imported_by_all("main", *commands) == set()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "certificates"))
    from example_records import smoothing

    with RecordWriter(tmp_path / folder_names.ROWS_OF["run"]) as writer:
        writer.write([smoothing()])
    return tmp_path


@pytest.mark.slow
def test_rows_are_checked_exported_and_compared_without_libraries_of_models(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    shutil.copy(folder / folder_names.ROWS_OF["run"], other)
    commands = [["verify", str(folder)], ["export", str(folder), "--to", "tsv"]]
    commands.append(["compare", str(folder), str(other), "--output", str(other)])
    assert imported_by_all("certify", *commands).isdisjoint([*MODELS, *STATISTICS, "torchmetrics.metric"])
    assert list(folder.glob("*.tsv"))
    assert len(list(other.glob("comparison.*"))) == 4


def test_rows_are_verified_and_samples_planned_with_numbers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "certificates"))
    from kind_examples import EXAMPLES

    files = [tmp_path / f"{name}.jsonl" for name in EXAMPLES]
    for path, example in zip(files, EXAMPLES.values(), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in example.rows()), encoding="utf-8")
    commands = [["plan", "--sigma", "0.25", "--loss", "0.1"], *(["verify", str(path)] for path in files)]
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(files[0], folder / folder_names.ROWS_OF["run"])
    (folder / folder_names.SETTINGS).write_text('{"seed": 0}', encoding="utf-8")  # that say nothing of pictures
    commands.append(["report", str(folder)])
    assert imported_by_all("certify", *commands) == {"numpy", "scipy"}
    assert (folder / "report.html").is_file()


def test_a_first_configuration_is_written_without_tensors(tmp_path: Path) -> None:
    for number in range(4):
        path = tmp_path / "pictures" / f"class {number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"never opened")
    (tmp_path / "listed.csv").write_text("path,label\n" + "".join(f"{name}.png,{name}\n" for name in ("a", "b")))
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").touch()
    commands = [
        ["init", "--data", str(tmp_path / "pictures"), "--task", "train", "--output", str(tmp_path / "train.yaml")],
        ["init", "--data", str(tmp_path / "listed.csv"), "--output", str(tmp_path / "certify.yaml")],
        ["init", "--data", "emoji:unseen_artist", "--task", "zero-shot", "--output", str(tmp_path / "zero_shot.yaml")],
    ]
    assert imported_by_all("main", *commands) == {"numpy"}
    assert {path.stem for path in tmp_path.glob("*.yaml")} == {"train", "train_tree", "certify", "zero_shot"}


def test_a_plan_reads_no_rows_unless_it_is_asked_to() -> None:
    code = (
        "import sys\nfrom hrvlm.cli.certify import main\nmain(['plan', '--sigma', '0.25'])\n"
        "assert 'hrvlm.certificates.kinds.registry' not in sys.modules"
    )
    said_by(code)


def first_words(commands: list[list[str]], **variables: str) -> list[str]:
    """What commands first say on standard error, which ends them."""
    code = (
        "import io, sys\n"
        "class Ends(io.StringIO):\n"
        "    def write(self, text): raise SystemExit(text)\n"
        "from hrvlm.cli.main import main\n"
        "found = []\n"
        f"for words in {commands}:\n"
        "    sys.stderr = Ends()\n"
        "    try:\n        main([*words, '--nothing'])\n"
        "    except SystemExit as stopped:\n        found.append(str(stopped.code))\n"
        "sys.stderr = sys.__stderr__\n"
        "print('torch' in sys.modules)\n"
        "print('\\n'.join(found))"
    )
    return said_by(code, **variables)


def test_what_needs_a_model_says_so_before_it_imports_libraries() -> None:
    commands = [*(["certify", name] for name in NEEDING_MODELS), ["export"], ["train", "fit"]]
    torch, *told = first_words(commands)
    assert torch == "False"
    assert told[:-1] == [f"hrvlm {' '.join(words)}: loading PyTorch and open_clip" for words in commands[:-1]]
    assert told[-1] == "hrvlm train fit: loading PyTorch and Lightning"


def test_others_say_nothing_first() -> None:
    (_, said), (_, other) = first_words([["plan"]]), first_words([["zero-shot"]], LOCAL_RANK="1")
    assert "loading" not in said
    assert "loading" not in other


def test_what_is_loaded_already_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "torch" in sys.modules
    with pytest.raises(SystemExit):
        certify.main(["zero-shot", "--nothing"])
    assert "loading" not in capsys.readouterr().err


@pytest.mark.slow
def test_models_work_without_what_takes_longest_to_import(tmp_path: Path) -> None:
    """Neither Lightning, nor PyTorch's compiler, nor the models of other libraries."""
    few = ["--plan.num_images", "1", "--plan.n0", "4", "--plan.n", "16", "--plan.alpha", "0.1", "--plan.radii", "[0.0]"]
    data = ["--data", "emoji:unseen_classes", "--num_images", "1", "--attacks", "clean"]
    commands = [
        ["run", "--checkpoint", "emoji", "--config", "certify/emoji", *few, "--output", str(tmp_path / "run")],
        ["zero-shot", "--checkpoint", "emoji", *data, "--output", str(tmp_path / "zero-shot")],
    ]
    assert imported_by_all("certify", *commands).isdisjoint(SLOW)
    assert (tmp_path / "run" / "certificates.jsonl").is_file()


def test_libraries_of_models_bring_no_others() -> None:
    """What these would bring takes longer than they do; a metric is there when it is asked for."""
    modules = [f"hrvlm.cli.commands.{CERTIFY[name].module}" for name in NEEDING_MODELS]
    code = (
        "import json, sys\n"
        "from importlib import import_module\n"
        "from types import ModuleType\n"
        "from hrvlm.cli.lighter_lightning import put_off_metrics\n"
        "put_off_metrics()\n"
        f"for name in {['hrvlm.cli.train', *modules]}:\n    import_module(name)\n"
        f"names = {['torchattacks', 'torchmetrics.functional', 'matplotlib', 'numba', *STATISTICS]}\n"
        "found = [name for name in names if name in sys.modules]\n"
        "import torchmetrics\n"
        "from torchmetrics import Metric\n"
        "assert type(torchmetrics) is not ModuleType\n"
        "assert issubclass(torchmetrics.MeanMetric, Metric)\n"
        "assert type(torchmetrics) is ModuleType\n"
        "assert torchmetrics.Metric is Metric and 'torchmetrics.classification' in sys.modules\n"
        "assert not hasattr(torchmetrics, 'Nothing')\n"
        "print(json.dumps(found))"
    )
    assert json.loads(said_by(code)[-1]) == []


@pytest.mark.parametrize(
    "asked",
    [
        "from torchmetrics.wrappers import MetricTracker as found",
        "from torchmetrics import *\nfound = MetricTracker",
        "import torchmetrics\nassert 'MetricTracker' in dir(torchmetrics)\nfound = torchmetrics.MetricTracker",
        "from torchmetrics import Metric\nfrom torchmetrics.wrappers import MetricTracker as found",
        "import torchmetrics.metric\nfrom torchmetrics import MetricTracker as found, Metric\n"
        "from torchmetrics.utilities import checks\nassert checks.Metric is Metric",  # which was not imported twice
        "import torchmetrics.utilities.checks\nfrom torchmetrics import MetricTracker as found",
        "lighter.LIGHT['Metric'] = 'elsewhere'\nfrom torchmetrics import MetricTracker as found",
    ],
    ids=["below", "all", "listed", "after", "module", "utilities", "other version"],
)
def test_metrics_that_are_put_off_are_there_however_they_are_asked_for(asked: str) -> None:
    code = (
        f"import hrvlm.cli.lighter_lightning as lighter\nlighter.put_off_metrics()\n{asked}\n"
        "import torchmetrics\nfrom torchmetrics import Metric, metric\n"
        "assert torchmetrics.MetricTracker is found and torchmetrics.metric.Metric is Metric\n"
        "from torchmetrics.utilities import check_forward_full_state_property, rank_zero_warn\n"
        "assert isinstance(torchmetrics.MeanMetric(), Metric)"
    )
    said_by(code)


def test_a_metric_draws_itself_though_matplotlib_was_put_off() -> None:
    code = (
        "import sys\nfrom hrvlm.cli.lighter_lightning import put_off_metrics\nput_off_metrics()\n"
        "import torch\nfrom torchmetrics import Metric\n"
        "class Share(Metric):\n    def update(self): ...\n    def compute(self): ...\n"
        "assert 'matplotlib' not in sys.modules\n"
        "for _ in range(2):\n    figure, axes = Share()._plot(torch.tensor(0.5))\n"
        "    assert type(figure).__module__ == 'matplotlib.figure' and len(axes.lines) == 1\n"
        "from torchmetrics.utilities.plot import plot_confusion_matrix"
    )
    said_by(code)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        certify.main(["--help"])
    assert f"{{{','.join(CERTIFY)}}}" in "".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", list(CERTIFY))
def test_every_command_of_certify_has_its_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        certify.main([command, "--help"])
    assert stopped.value.code == 0
    assert {"verify": "folder", "compare": "--names", "plan": "--sigma"}.get(command, "--") in capsys.readouterr().out


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_old_names_of_commands_work_and_are_told_in_one_line(
    old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        certify.main([old, "--help"])
    said = capsys.readouterr()
    assert stopped.value.code == 0
    (line,) = said.err.splitlines()
    assert line.startswith("certify.py: a command was given by an old name")
    assert line.endswith(f": {old} is now {new}")
    assert f" {new} [" in said.out


def test_public_names_are_the_modules_and_functions_themselves() -> None:
    for name in ("data", "geometry", "models", "trees"):
        assert getattr(hrvlm, name) is sys.modules[f"hrvlm.{name}"]
    assert (hrvlm.load_model, hrvlm.load_forest, hrvlm.load_tree) == (load_model, load_forest, load_tree)
    for name in hrvlm.certificates.__all__:
        assert hasattr(hrvlm.certificates, name), name
    assert hrvlm.certificates.replay == replay


@pytest.mark.parametrize("package", [hrvlm, hrvlm.certificates])
def test_other_names_are_told(package: object) -> None:
    with pytest.raises(AttributeError, match=r"attribute '?nothing"):
        _ = package.nothing  # type: ignore[attr-defined]


def test_names_of_files_are_those_that_are_written() -> None:
    for name in ("SUMMARY", "SETTINGS", "ROWS_OF"):
        assert getattr(folder_names, name) == getattr(folders, name)
