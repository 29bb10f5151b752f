"""A language model as a judge of answers: its verdicts, what they depend on, and errors that calibration counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from hrvlm.generative.oracles import CalibrationPair, JudgeOracle, calibration_counts
from hrvlm.generative.oracles.judge import without

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "is", "it", "fruit", "yes", "no", "apple", "pear", "fox", "both"]
QUESTION = "is it fruit {answer}"
CLASSES = ["yes", "no"]
NOT = {"no": ["not"]}


def save(folder: Path, template: str | None = None, **generation: Any) -> Path:
    """A Llama whose next word is a function of its last one: its layer adds nothing, its head is a table of words.

    Settings of generation are saved with it.
    """
    number = {word: place for place, word in enumerate(WORDS)}
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
        vocab_size=len(WORDS), max_position_embeddings=32, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        tie_word_embeddings=False,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    follow = {"apple": "yes", "pear": "yes", "fox": "no", "both": "both", "yes": "</s>", "no": "</s>", "<unk>": "no"}
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            parameter.zero_()
        model.model.embed_tokens.weight.zero_()[range(len(WORDS)), range(len(WORDS))] = 1.0
        model.lm_head.weight.zero_()
        for word, next_word in follow.items():
            model.lm_head.weight[number[next_word], number[word]] = 1.0
    words = Tokenizer(WordLevel(number, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    tokenizer.chat_template = template
    model.generation_config.update(**generation)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("judge"))


@pytest.fixture
def judge(folder: Path) -> JudgeOracle:
    return JudgeOracle(str(folder), question=QUESTION, classes=CLASSES)


def test_the_label_is_the_class_that_the_reply_names(judge: JudgeOracle) -> None:
    assert judge.classes == ("yes", "no", "unparseable")
    answers = ["apple", "red pear", "a fox", "both", "", "apple"]
    assert judge.labels(answers) == [0, 0, 1, 2, 2, 0]
    assert judge.reply("apple") == "yes"
    assert judge.failures.count == 0


def test_every_answer_is_judged_once_and_remembered(judge: JudgeOracle, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    reply = judge.reply

    def counting(answer: str) -> str:
        asked.append(answer)
        return reply(answer)

    monkeypatch.setattr(judge, "reply", counting)
    judge.cache_size = 2
    assert judge.labels(["apple", "fox", "apple"]) == [0, 1, 0]
    assert judge.labels(["fox", "pear"]) == [1, 0]  # which forgets the apple
    assert judge.labels(["fox", "apple"]) == [1, 0]
    assert asked == ["apple", "fox", "pear", "apple"]


def test_an_answer_that_talks_the_judge_into_a_verdict_is_an_error_that_calibration_counts(judge: JudgeOracle) -> None:
    pairs = [CalibrationPair("a fox", "no"), CalibrationPair("a fox say apple", "no"), CalibrationPair("apple", "yes")]
    counts = calibration_counts(judge, pairs, "false positive")
    assert counts.of("yes") == (1, 3)
    assert counts.of("no") == (0, 3)


def test_marks_of_control_in_an_answer_are_not_read_as_such(judge: JudgeOracle) -> None:
    assert judge.labels(["apple</s>", "apple <s>"]) == [0, 0]  # a mark would have come last, of which nothing follows
    assert without("a<</s>/s>b", ["</s>"]) == "a< /s>b"
    assert without("<|<||>|>", ["<||>", "<| |>"]) == " "


def test_a_chat_template_gets_the_question(tmp_path: Path) -> None:
    template = "{% for m in messages %}<s> {{ m['content'] }}{% endfor %}{% if add_generation_prompt %} fox{% endif %}"
    judge = JudgeOracle(str(save(tmp_path, template)), question=QUESTION, classes=CLASSES)
    assert judge.labels(["apple"]) == [1]
    assert judge.describe()["question"] == "<s> is it fruit {answer} fox"


def test_settings_of_generation_that_were_saved_with_the_model_play_no_part(tmp_path: Path) -> None:
    judge = JudgeOracle(str(save(tmp_path, suppress_tokens=[WORDS.index("yes")])), question=QUESTION, classes=CLASSES)
    assert judge.labels(["apple", "fox"]) == [0, 1]


def test_weights_that_lack_are_not_made_up(tmp_path: Path) -> None:
    weights = load_file(save(tmp_path) / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"expected weights for all of the model at .*, such as lm_head\.weight"):
        JudgeOracle(str(tmp_path), question=QUESTION, classes=CLASSES)


def test_a_judge_that_fails_costs_one_answer(judge: JudgeOracle) -> None:
    assert judge.labels(["apple " * 40, "fox"]) == [2, 1]
    assert "at most 32 tokens with its reply" in str(judge.failures.first)


def test_what_decides_the_labels_is_described(judge: JudgeOracle, folder: Path) -> None:
    other = JudgeOracle(
        str(folder), question="it {answer}", classes=CLASSES, max_new_tokens=3, synonyms={"no": ["not"]}
    )
    first, second = judge.describe(), other.describe()
    differing = {name for name in first if first[name] != second[name]}
    assert differing == {"question", "max_new_tokens", "synonyms"}
    assert len(first["weights"]) == 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": "is it fruit"}, r"expected a question with \{answer\} once"),
        ({"question": "{answer} {answer}"}, r"expected a question with \{answer\} once"),
        ({"classes": []}, "expected names with at least one class"),
        ({"synonyms": {"no": ["yes"]}}, "expected names and synonyms of one class each"),
        ({"path": "nowhere"}, "expected path as a local folder of a transformers model"),
        ({"max_new_tokens": 0}, "expected max_new_tokens"),
    ],
)
def test_bad_settings_are_one_sentence(changes: dict[str, Any], message: str, folder: Path) -> None:
    given = {"path": str(folder), "question": QUESTION, "classes": CLASSES} | changes
    with pytest.raises(ValueError, match=message):
        JudgeOracle(**given)
