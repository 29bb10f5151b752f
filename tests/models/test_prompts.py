"""What models read of texts: cut ones are told, and equal token rows are refused wherever they would compete."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_models import tiny_model

from hrvlm.certificates.embedding.attributes import Attribute, check_changes
from hrvlm.models import CosineHead, HierarchicalClassifier, VisionLanguageModel
from hrvlm.models import prompts as prompts_module
from hrvlm.models.zero_shot import ZeroShotClassifier
from hrvlm.trees import ClassTree, Forest, Node, TreeInfo

LONG = "a very small picture of one of those rather old and slightly worn wooden toy boxes called"


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return tiny_model("vit", seed=1)  # reads 16 tokens


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts_module, "_TOLD", set())


def forest(leaves: list[str], groups: list[str], template: str = "a picture of a {}") -> Forest:
    nodes = [Node(name, name, None) for name in groups]
    nodes += [Node(name, name, groups[i % len(groups)]) for i, name in enumerate(leaves)]
    return Forest([ClassTree.from_nodes(nodes, TreeInfo(name="kinds", template=template))])


def test_nodes_of_a_level_that_are_the_same_to_the_model_are_refused(model: VisionLanguageModel) -> None:
    head = CosineHead(10.0)
    names = ["fox", "otter", "pike", "elm"]
    HierarchicalClassifier(model, head, forest(names, ["animal", "other"]))
    message = r"texts that differ within the 16 tokens .* as prompts of kinds/leaf, got the same tokens for 'a very"
    with pytest.raises(ValueError, match=message):
        HierarchicalClassifier(model, head, forest(names, ["animal", "other"], LONG + " {}"))
    with pytest.raises(ValueError, match=r"as prompts of kinds/level 1, got the same tokens for .*; give one"):
        HierarchicalClassifier(model, head, forest(names, [f"{LONG} animal", f"{LONG} other"]))
    with pytest.raises(ValueError, match="got the same tokens for 'a picture of a A&amp;B' and 'a picture of a A&B'"):
        HierarchicalClassifier(model, head, forest(["A&amp;B", "A&B"], ["x", "y"]))


def test_classes_that_are_the_same_to_the_model_are_refused(model: VisionLanguageModel) -> None:
    for names in (["fox"] * 2, [f"{LONG} fox", f"{LONG} otter"]):
        with pytest.raises(ValueError, match="as prompts of the classes, got the same tokens for"):
            ZeroShotClassifier(model, CosineHead(10.0), names, ["a {}", "a picture of the {}"])
    ZeroShotClassifier(model, CosineHead(10.0), ["fox", "otter"], [LONG + " {}", "a {}"])


def test_changes_that_the_model_cannot_see_are_refused(model: VisionLanguageModel) -> None:
    late = Attribute(name="night", source=f"{LONG} {{}} by day", target=f"{LONG} {{}} by night")
    with pytest.raises(ValueError, match=r"as source and target of attribute 'night', got the same tokens"):
        check_changes(model, [late], "fox")
    shown = Attribute(name="night", source=late.source, target=late.target, pictures=["night.png"])
    check_changes(model, [shown, Attribute(name="rain", target="a picture of a {} in rain")], "fox")


def test_cut_texts_are_told_once_each(model: VisionLanguageModel, caplog: pytest.LogCaptureFixture) -> None:
    exact = "a b c d e f g h i j k l m n"  # 14 words between two marks
    tokens = model.tokenize([exact, f"{exact} o", "short", f"{exact} \x07x"])
    assert torch.equal(tokens[0], tokens[1])
    (record,) = caplog.records
    assert record.getMessage() == (
        f"only the first 16 tokens of these texts are read, the rest is cut off: '{exact} o', '{exact} \\x07x'"
    )
    model.tokenize([f"{exact} o", exact, "short"])
    assert len(caplog.records) == 1
    model.tokenize([f"{exact} p"])
    assert caplog.records[1].getMessage().endswith(f"'{exact} p'")
    model.text_features([f"{exact} {'q ' * 200}"])
    said = caplog.records[2].getMessage().partition(": ")[2]
    assert said.startswith(f"'{exact} q")
    assert " … " in said
    assert len(said) < 140


def test_tokenizers_of_one_length_are_asked_in_another_way(caplog: pytest.LogCaptureFixture) -> None:
    def tokenizer(texts: list[str]) -> Any:
        rows = [[1, *(ord(word[0]) for word in text.split())][:4] for text in texts]
        return torch.tensor([row + [0] * (4 - len(row)) for row in rows])

    texts = ["a b", "a b c d e"]
    prompts_module.tell_cut_texts(tokenizer, texts, tokenizer(texts))
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["'a b c d e'"]
