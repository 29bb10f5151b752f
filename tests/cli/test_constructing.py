"""What a constructor of a configured class complains of comes out in its own words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from hrvlm.callbacks import CertificationCallback
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.cli.errors import ClearParser, clear_errors
from hrvlm.cli.train import TrainParser
from hrvlm.cli.train import main as train


class Part:
    """A class that a configuration names."""

    def __init__(self, n: int = 1, inner: Part | None = None) -> None:
        if n < 1:
            raise ValueError(f"expected n >= 1, got {n}")
        if n > 9:
            raise TypeError("more than nine")
        if n == 8:
            raise ModuleNotFoundError("Requirement 'eight' not met")
        self.n, self.inner = n, inner


class WandbLogger(Part):
    """A logger whose library is an extra of hrvlm."""


@dataclass
class Whole:
    """Settings with such classes wherever types allow several forms."""

    parts: list[Part] | Part | None = None
    one: Part | None = None


PATH = f"{__name__}.Part"
BAD = f"{{class_path: {PATH}, init_args: {{n: 0}}}}"


@pytest.mark.parametrize("kind", [ClearParser, TrainParser])
@pytest.mark.parametrize(
    "text",
    [
        f"one: {BAD}",
        f"parts: {BAD}",
        f"parts: [{{class_path: {PATH}}}, {BAD}]",
        f"parts: [{{class_path: {PATH}, init_args: {{inner: {BAD}}}}}]",
    ],
)
def test_the_inner_sentence_is_what_is_said(
    kind: type[ClearParser], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(text, encoding="utf-8")
    parser = kind()
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(Whole)
    with pytest.raises(SystemExit) as stopped, clear_errors("it"):
        parser.instantiate(parser.parse_args([f"--config={config}"]))
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "it: error: expected n >= 1, got 0\n"


def test_a_module_says_what_is_wrong(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning makes modules in a way of its own, and offers to leave them out."""
    monkeypatch.setattr("sys.argv", ["train.py"])
    settings = ["--model=hrvlm.training.pretraining.ContrastivePretraining", "--model.model_config=none.json"]
    data = ["--data=hrvlm.data.emoji_pack.datamodule.EmojiDataModule"]
    for words, told in (
        ([], "none.json"),
        (["--model.optimizer.weight_decay=-1"], "expected weight_decay >= 0 and finite"),
    ):
        with pytest.raises(SystemExit):
            train(["fit", "--seed_everything=0", *settings, *data, *words])
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train.py: error: expected")]
        assert len(said) == 1
        assert told in said[0]


def test_other_errors_of_constructors_name_the_class(capsys: pytest.CaptureFixture[str]) -> None:
    parser = ClearParser()
    parser.add_class_arguments(Whole)
    with pytest.raises(ValueError, match=r"Part.*more than nine") as caught:
        parser.instantiate(parser.parse_args([f"--one={PATH}", "--one.n=10"]))
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize(("kind", "extra"), [("Part", ""), ("WandbLogger", ', or pip install "hrvlm[wandb]"')])
def test_a_missing_library_is_told_with_the_extra_that_brings_it(kind: str, extra: str) -> None:
    parser = ClearParser()
    parser.add_class_arguments(Whole)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the whole message is compared
        parser.instantiate(parser.parse_args([f"--one={__name__}.{kind}", "--one.n=8"]))
    told = f"expected what {kind} needs to be installed, got: Requirement 'eight' not met{extra}"
    assert str(caught.value) == told


def test_good_objects_are_made() -> None:
    parser = TrainParser()
    parser.add_class_arguments(Whole)
    made = parser.instantiate(parser.parse_args([f"--parts=[{{class_path: {PATH}, init_args: {{n: 2}}}}]"]))
    assert [part.n for part in made.parts] == [2]


def test_a_plan_within_a_callback_says_what_is_wrong() -> None:
    parser = TrainParser()
    parser.add_argument("--callbacks", type=list[CertificationCallback] | CertificationCallback | None)
    plan = f"{{class_path: {CertificationPlan.__module__}.CertificationPlan, init_args: {{sigma: -1}}}}"
    given = parser.parse_args(
        [f"--callbacks=[{{class_path: hrvlm.callbacks.CertificationCallback, init_args: {{plan: {plan}}}}}]"]
    )
    with pytest.raises(ValueError, match=r"^expected sigma"):
        parser.instantiate(given)
