"""Data modules are found by their names alone, whatever has been imported before."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from hrvlm.cli.data_modules import DATA_MODULES
from hrvlm.data.base import ImageDataModule

PARSED = """
import sys
from hrvlm.cli.errors import ClearParser
from hrvlm.data.items import EvaluationData
parser = ClearParser()
parser.add_argument("--data", type=EvaluationData | str)
parser.add_argument("--config", action="config")
assert "lightning" not in sys.modules
print(getattr(parser.parse_args([{word!r}]).data, "class_path", "a text"))
assert ("lightning" in sys.modules) == {imported}
"""


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("--data=EmojiDataModule", "hrvlm.data.emoji_pack.datamodule.EmojiDataModule"),
        ("--data={class_path: CifarDataModule, init_args: {folder: a}}", "hrvlm.data.cifar_module.CifarDataModule"),
        ("--config={data: {class_path: EmojiDataModule}}", "hrvlm.data.emoji_pack.datamodule.EmojiDataModule"),
        ("--config={data: emoji}", "a text"),
    ],
)
def test_a_parser_finds_them_by_their_names(word: str, found: str) -> None:
    code = PARSED.format(word=word, imported=found != "a text")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == found, done.stderr


def test_all_are_known() -> None:
    for name, module in DATA_MODULES.items():
        assert issubclass(getattr(import_module(module), name), ImageDataModule)
    ours = {kind.__name__ for kind in ImageDataModule.__subclasses__() if kind.__module__.startswith("hrvlm.")}
    assert ours == set(DATA_MODULES)
