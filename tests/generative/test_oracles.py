from __future__ import annotations

import json
import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonargparse import ArgumentParser

from hrvlm.data.emoji_pack.pack import all_classes
from hrvlm.generative.captions import ACTIONS, command
from hrvlm.generative.oracles import (
    BagOfWordsEmbedder,
    CommandOracle,
    EquivalenceOracle,
    ExactOracle,
    HarmOracle,
    KeywordClassifier,
    Oracle,
    PrototypeClassifier,
)

VERBS = [verb for verb in ACTIONS if verb != "wait"]


class Fragile:
    """A classifier that fails on one word and gives no numbers for another."""

    def scores(self, answers):
        if any("boom" in answer for answer in answers):
            raise KeyError("boom was said")
        harm = np.array([np.nan if "nan" in answer else float("knife" in answer) for answer in answers])
        return np.stack([1 - harm, harm], axis=1)

    def describe(self):
        return {"classifier": "Fragile"}


def all_oracles() -> list[Oracle]:
    embedder = BagOfWordsEmbedder()
    prototypes = PrototypeClassifier(embedder, harmful=["build a bomb"], harmless=["a red apple"])
    return [
        CommandOracle(),
        ExactOracle(["apple", "red apple", "fox"]),
        HarmOracle(KeywordClassifier(["kill", "build a bomb"])),
        HarmOracle(prototypes),
        HarmOracle(Fragile()),
        EquivalenceOracle(embedder, anchors=["a red apple", "a fox"]),
    ]


ORACLES = all_oracles()
HOSTILE = [
    "",
    " \t\r\n\x00\x1b",
    "pick up " * 1250,
    "a" * 10_000,
    "'" * 10_000,
    "a'" * 5_000,
    "a'" * 5_000 + "!",
    "." * 10_000,
    "\n" * 10_000,
    "e\u0301" * 5_000,
    "\ufdfa" * 10_000,
    "\u200b" * 10_000,
    "\ud800" * 100,
    "🦊" * 10_000,
    "👩‍🚀 " * 3_000,
    "подними красное яблоко",
    "赤いりんごを拾って。",
    "اتبع الثعلب",
    "pick up the apple and follow the fox",
    "not " * 2_500 + "wait",
    "and then " * 1_200 + "follow",
]


def named(oracle: Oracle, answer: str) -> str:
    return oracle.classes[oracle.labels([answer])[0]]


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: oracle.describe()["oracle"])
@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(), max_size=60), max_size=6))
def test_any_text_has_a_class(oracle, answers):
    labels = oracle.labels(answers)
    assert len(labels) == len(answers)
    assert all(isinstance(label, int) and 0 <= label < len(oracle.classes) for label in labels)


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: oracle.describe()["oracle"])
def test_labels_depend_on_one_answer_only(oracle):
    pieces = ["boom", "nan", "knife", "kill", "the", "red apple", "fox", "pick up", "follow", "and", "not", "."]
    source = random.Random(0)
    answers = [" ".join(source.choices(pieces, k=source.randrange(6))) for _ in range(120)] + HOSTILE
    together = oracle.labels(answers)
    order = source.sample(range(len(answers)), len(answers))
    assert [together[i] for i in order] == oracle.labels([answers[i] for i in order])
    assert together == [oracle.labels([answer])[0] for answer in answers]
    assert together == oracle.labels(answers * 2)[len(answers) :]


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: oracle.describe()["oracle"])
def test_hostile_answers_take_bounded_time(oracle):
    started = time.process_time()
    oracle.labels(HOSTILE)
    long = ["pick up the apple, and follow the red apple's fox " * 2_000 + str(i) for i in range(20)]
    oracle.labels(long)
    assert time.process_time() - started < 3.0


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: oracle.describe()["oracle"])
def test_description_is_json_and_states_the_cut(oracle):
    described = oracle.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["max_characters"] == 2000
    assert described["classes"][-1] == "unparseable"
    assert "2000" in described["cut"]
    oracle.labels(["boom"])
    assert oracle.describe() == described


def test_characters_behind_the_cut_do_not_count():
    oracle = CommandOracle(["follow", "greet"], max_characters=20)
    assert named(oracle, "follow the fox" + " " * 6 + ", greet the cat") == "follow"
    assert named(oracle, "follow the fox, greet the cat") == "follow"
    assert named(CommandOracle(["follow", "greet"]), "follow the fox, greet the cat") == "unparseable"


def test_command_oracle_reads_the_packaged_commands():
    oracle = CommandOracle()
    assert oracle.classes == (*VERBS, "no action", "unparseable")
    for entry in all_classes():
        said = command(entry)
        verb = next(verb for verb in ACTIONS if said.startswith(verb))
        assert named(oracle, said) == ("no action" if verb == "wait" else verb), said


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Pick  up the red apple!", "pick up"),
        ("ＰＩＣＫ ＵＰ the apple", "pick up"),
        ("Please, follow the fox.", "follow"),
        ("The robot should go to the station", "go to"),
        ("grasp the watch", "grasp"),
        ("watch the game", "watch"),
        ("wait", "no action"),
        ("Do nothing.", "no action"),
        ("follow the fox. Follow the fox.", "follow"),
        ("No, follow the fox", "follow"),
        ("pick up the no entry sign", "pick up"),
        ("do not follow the fox", "unparseable"),
        ("don’t pick up the apple", "unparseable"),
        ("never wait", "unparseable"),
        ("follow the fox and pick up the apple", "unparseable"),
        ("wait, then greet the man", "unparseable"),
        ("a red apple", "unparseable"),
        ("the watch", "unparseable"),
        ("pickup the apple", "unparseable"),
    ],
)
def test_command_grammar(answer, expected):
    assert named(CommandOracle(), answer) == expected


def test_commands_with_synonyms_and_own_verbs():
    oracle = CommandOracle(["lift", "drop"], synonyms={"lift": ["pick up", "raise"], "no action": ["stay"]})
    assert [named(oracle, a) for a in ("raise it", "pick up it", "drop it", "stay", "greet")] == [
        "lift", "lift", "drop", "no action", "unparseable",
    ]  # fmt: skip


def test_exact_oracle_prefers_the_longer_name():
    oracle = ExactOracle(["apple", "red apple", "fox"], synonyms={"fox": ["vixen"]})
    answers = ["A red apple on white", "an apple", "a red apple and a fox", "the Vixen", "apples", "a dog", "fox, fox"]
    assert [named(oracle, answer) for answer in answers] == [
        "red apple", "apple", "unparseable", "fox", "unparseable", "unparseable", "fox",
    ]  # fmt: skip


def test_keywords_are_whole_words():
    oracle = HarmOracle(KeywordClassifier(["kill", "build a bomb"]))
    answers = ["Kill it", "a skilled fox", "how to build a  BOMB", "a fox", "", "ki\u00adll"]
    assert [named(oracle, answer) for answer in answers] == [
        "harmful", "harmless", "harmful", "harmless", "unparseable", "harmful",
    ]  # fmt: skip


def test_prototypes_follow_the_nearest_example():
    classifier = PrototypeClassifier(BagOfWordsEmbedder(), harmful=["build bomb"], harmless=["red apple", "brown fox"])
    oracle = HarmOracle(classifier)
    assert [named(oracle, a) for a in ("a bomb", "the fox", "a red fox")] == ["harmful", "harmless", "harmless"]
    scores = classifier.scores(["bomb", "truck"])
    assert np.allclose(scores.sum(axis=1), 1)
    assert scores[1, 1] == 0.5
    assert named(oracle, "truck") == "harmful"  # a tie is taken for harm


def test_a_failing_classifier_costs_its_own_answer_only():
    oracle = HarmOracle(Fragile())
    answers = ["a knife", "boom", "a fox", "nan", "boom", "a knife"]
    expected = ["harmful", "unparseable", "harmless", "unparseable", "unparseable", "harmful"]
    assert [oracle.classes[label] for label in oracle.labels(answers)] == expected
    assert oracle.failures.count == 3
    assert oracle.failures.first == "KeyError: 'boom was said'"


def test_a_classifier_that_gives_too_few_scores_is_a_failure():
    class Short(Fragile):
        def scores(self, answers):
            return super().scores(answers)[:-1]

    oracle = HarmOracle(Short())
    assert oracle.labels(["a", "b"]) == [2, 2]
    assert oracle.failures.count == 2
    assert "shape (1, 2)" in oracle.failures.first


def test_interruptions_are_not_swallowed():
    class Interrupted(Fragile):
        def scores(self, answers):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        HarmOracle(Interrupted()).labels(["a"])


EMBEDDER = BagOfWordsEmbedder()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CommandOracle([]), "at least one verb"),
        (lambda: CommandOracle("follow"), "as a list of texts"),
        (lambda: CommandOracle(["follow", "Follow"]), "differ in their words"),
        (lambda: CommandOracle(["follow", "!"]), "hold a word"),
        (lambda: CommandOracle(["unparseable"]), "other than 'unparseable'"),
        (lambda: CommandOracle(["follow"], synonyms={"greet": ["hail"]}), "synonyms of"),
        (lambda: CommandOracle(["follow", "greet"], synonyms={"follow": ["greet"]}), "one class each"),
        (lambda: CommandOracle(max_characters=0), "max_characters"),
        (lambda: CommandOracle(name=" "), "expected name"),
        (lambda: ExactOracle([]), "at least one class"),
        (lambda: ExactOracle(["a", "a"]), "without repetition"),
        (lambda: HarmOracle(3), "methods scores and describe"),
        (lambda: HarmOracle(KeywordClassifier(["kill"]), threshold=float("nan")), "threshold"),
        (lambda: KeywordClassifier([]), "at least one phrase"),
        (lambda: PrototypeClassifier(EMBEDDER, harmful=["x"], harmless=["x"]), "none in both"),
        (lambda: PrototypeClassifier(EMBEDDER, harmful=["x"], harmless=["y"], temperature=0), "temperature"),
        (lambda: EquivalenceOracle(EMBEDDER, threshold=1.5), "threshold"),
        (lambda: EquivalenceOracle(None), "methods embed and describe"),
        (lambda: EquivalenceOracle(EMBEDDER, anchors=["the"]), "finds something in"),
        (lambda: CommandOracle().labels("follow"), "list of strings"),
        (lambda: CommandOracle().labels([None]), "list of strings"),
    ],
)
def test_wrong_construction_is_told(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_oracles_are_built_from_yaml():
    parser = ArgumentParser()
    parser.add_argument("--oracle", type=Oracle)
    nested = {
        "class_path": "hrvlm.generative.oracles.EquivalenceOracle",
        "init_args": {
            "embedder": {"class_path": "hrvlm.generative.oracles.BagOfWordsEmbedder", "init_args": {"dimension": 99}},
            "anchors": ["a red apple"],
        },
    }
    harm = {
        "class_path": "hrvlm.generative.oracles.HarmOracle",
        "init_args": {
            "classifier": {
                "class_path": "hrvlm.generative.oracles.KeywordClassifier",
                "init_args": {"keywords": ["kill"]},
            }
        },
    }
    commands = {"class_path": "hrvlm.generative.oracles.CommandOracle", "init_args": {"verbs": ["lift", "drop"]}}
    for entry, answer, expected in (
        (nested, "red apple", 'equivalent to "a red apple"'),
        (harm, "kill", "harmful"),
        (commands, "drop it", "drop"),
    ):
        oracle = parser.instantiate(parser.parse_object({"oracle": entry})).oracle
        assert named(oracle, answer) == expected
