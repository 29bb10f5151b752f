"""Values of configurations: no key twice, and numbers as people write them, in files and on the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Union

import pytest

from hrvlm.cli.certify import main as certify
from hrvlm.cli.configuration import exact_number, load_configuration
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.train import TrainParser
from hrvlm.cli.train import main as train

ROOT = Path(__file__).parents[2]


@dataclass
class Inner:
    """Settings inside settings."""

    eps: float = 0.5
    steps: int = 1


@dataclass
class Settings:
    """Settings of every kind of number."""

    n: int = 1
    eps: float = 0.5
    share: float | None = None
    limit: int | float | None = None
    radii: list[float] = field(default_factory=list)
    text: str = ""
    inner: Inner = field(default_factory=Inner)


def parser(kind: type[ClearParser] = ClearParser) -> ClearParser:
    made = kind()
    made.add_argument("--config", action="config")
    made.add_class_arguments(Settings)
    return made


def read(folder: Path, text: str, *arguments: str) -> Settings:
    config = folder / "c.yaml"
    config.write_text(text, encoding="utf-8")
    given = parser().parse_args([f"--config={config}", *arguments])
    fields = {name: given[name] for name in Settings.__dataclass_fields__ if name != "inner"}
    return Settings(**fields, inner=Inner(given.inner.eps, given.inner.steps))


def test_exact_numbers_are_read_in_files_and_on_the_command_line(tmp_path: Path) -> None:
    text = "n: 1e3\neps: 8/255\nshare: 1e-3\nlimit: 2e1\nradii: [1/4, 0, 1e-1]\ntext: 1/4\n"
    text += "inner: {eps: 1/2, steps: 1E2}"
    expected = Settings(1000, 8 / 255, 1e-3, 20, [0.25, 0.0, 0.1], "1/4", Inner(0.5, 100))
    found = read(tmp_path, text)
    assert found == expected
    assert (type(found.n), type(found.inner.steps)) == (int, int)
    words = ["--n=1e3", "--eps=8/255", "--share=1e-3", "--limit=2e1", "--radii=[1/4, 0, 1e-1]", "--text=1/4"]
    assert read(tmp_path, "n: 2", *words, "--inner.eps=1/2", "--inner.steps=1E2") == expected


def test_integers_are_integers_however_the_union_is_written(tmp_path: Path) -> None:
    # typing keeps the order of the first such union of a process; every order has to read the same.
    for number, union in enumerate((Union[float, int, None], Union[int, float, None], Union[None, float, int])):  # noqa: UP007
        made = ClearParser()
        made.add_argument("--config", action="config")
        made.add_argument("--limit", type=union)
        config = tmp_path / f"{number}.yaml"
        for text, kind in {"1": int, "1.0": float, "0.5": float, "1e3": int, "null": type(None)}.items():
            config.write_text(f"limit: {text}")
            for words in ([f"--config={config}"], [f"--limit={text}"]):
                assert type(made.parse_args(words).limit) is kind, (text, union)


@pytest.mark.parametrize("word", ["--n=1e-3", "--n=1/3", "--n=1.5", "--eps=1/0", "--eps=1/2/3", "--eps=a/b", "--n=1e"])
def test_other_numbers_are_refused(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args([word])
    assert f'"{word[2:].split("=")[0]}": Expected a' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "number"), [("8/255", 8 / 255), ("1e3", 1000), ("-2.5e1", -25), ("1e30", 1e30), ("1e400", float("inf"))]
)
def test_numbers_are_the_nearest(text: str, number: float) -> None:
    assert exact_number(text) == number
    assert type(exact_number(text)) is type(number)


@pytest.mark.parametrize("text", ["{word}", "a photo of a {}", "2024-01-02", "1/4", "a:", "1e", "e3"])
def test_texts_stay_texts(text: str) -> None:
    assert load_configuration(text) == text
    assert parser().parse_args([f"--text={text}"]).text == text


@pytest.mark.parametrize("kind", [ClearParser, TrainParser])
@pytest.mark.parametrize(
    "text", ["n: 1\nn: 1", "inner: {eps: 1}\ninner.eps: 2", "inner: {eps: 1, steps: 1, eps: 1}", '{"n": 1, "n": 2}']
)
def test_a_key_given_twice_is_refused(
    kind: type[ClearParser], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit):
        parser(kind).parse_args([f"--config={config}"])
    assert "is given twice" in capsys.readouterr().err


@pytest.mark.parametrize("program", ["train", "certify"])
def test_programs_refuse_a_key_given_twice(
    program: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", [f"{program}.py"])
    shipped = {"train": "configs/emoji/quickstart.yaml", "certify": "configs/certify/emoji.yaml"}[program]
    text = (ROOT / shipped).read_text(encoding="utf-8")
    config = tmp_path / "c.yaml"
    known = {"train": "  max_epochs:", "certify": "split:"}[program]
    assert known in text
    config.write_text(text.replace(known, f"{known} 3\n{known}", 1), encoding="utf-8")
    run = {"train": lambda: train(["fit", f"--config={config}"]), "certify": lambda: certify(
        ["run", "--checkpoint=emoji", f"--output={tmp_path / 'o'}", f"--config={config}"]
    )}[program]  # fmt: skip
    with pytest.raises(SystemExit):
        run()
    assert "is given twice" in capsys.readouterr().err


@dataclass
class Places:
    """Settings that name folders."""

    output: str = ""
    trees: list[str] = field(default_factory=list)
    folders: dict[str, str] = field(default_factory=dict)
    root: str | Path | None = None
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize("kind", [ClearParser, TrainParser])
def test_home_is_expanded_in_files_and_on_the_command_line(
    kind: type[ClearParser], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "c.yaml").write_text("trees: [~/a.yaml, b~/c, '~', '~ 5']\nfolders: {train: ~/t}\nroot: ~/r", "utf-8")
    made = kind()
    made.add_argument("--config", action="config")
    made.add_class_arguments(Places)
    given = made.parse_args(["--config=~/c.yaml", "--output=~/out/"])
    assert given.output == f"{tmp_path}/out/"
    assert given.trees == [f"{tmp_path}/a.yaml", "b~/c", str(tmp_path), "~ 5"]
    assert (given.folders, given.root) == ({"train": f"{tmp_path}/t"}, f"{tmp_path}/r")
    assert made.parse_args(["--output=~nobody-there/x"]).output == "~nobody-there/x"
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xff")
    with pytest.raises(ValueError, match=rf"expected a readable configuration at {tmp_path}/bad\.yaml"):
        made.parse_args(["--config=~/bad.yaml"])


def test_a_mapping_of_one_empty_value_is_a_mapping() -> None:
    assert load_configuration("logit_scale: null\n") == {"logit_scale": None}
    assert load_configuration("{logit_scale: }") == {"logit_scale": None}
    assert load_configuration("{word}") == "{word}"


def test_groups_of_settings_are_read_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    for place, steps in ((tmp_path, 4), (tmp_path / "there", 5)):
        (place / "steps.yaml").write_text(f"steps: {steps}\n")
    monkeypatch.chdir(tmp_path)
    for given in ("steps.yaml", "./steps.yaml", "{steps: 4}"):
        assert read(tmp_path, "n: 1", f"--inner={given}").inner == Inner(steps=4)
    assert read(tmp_path / "there", "inner: steps.yaml").inner == Inner(steps=5)
    for given, told in (("none.yaml", "none.yaml"), ("os.path", "expected a class of hrvlm"), ("word", "word")):
        with pytest.raises(SystemExit):
            parser().parse_args([f"--inner={given}"])
        said = capsys.readouterr().err
        assert told in said
        assert ("expected a class" in said) == (given == "os.path")
