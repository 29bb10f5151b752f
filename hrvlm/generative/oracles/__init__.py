"""Oracles: from the words of a generative model to classes that can be counted."""

from hrvlm.generative.oracles.action import NO_ACTION, CommandOracle
from hrvlm.generative.oracles.base import UNPARSEABLE, Failures, Oracle
from hrvlm.generative.oracles.calibration import (
    ERROR_MODELS,
    CalibrationCounts,
    CalibrationPair,
    calibration_counts,
    read_calibration,
)
from hrvlm.generative.oracles.classifiers import (
    KeywordClassifier,
    PrototypeClassifier,
    TextClassifier,
    TransformersClassifier,
)
from hrvlm.generative.oracles.embedders import BagOfWordsEmbedder, Embedder, ModelTextEmbedder, SentenceEmbedder
from hrvlm.generative.oracles.equivalence import DEFAULT_THRESHOLD, OTHER, EquivalenceOracle
from hrvlm.generative.oracles.exact import ExactOracle
from hrvlm.generative.oracles.harm import HARMFUL, HARMLESS, HarmOracle
from hrvlm.generative.oracles.judge import JudgeOracle

__all__ = [
    "DEFAULT_THRESHOLD",
    "ERROR_MODELS",
    "HARMFUL",
    "HARMLESS",
    "NO_ACTION",
    "OTHER",
    "UNPARSEABLE",
    "BagOfWordsEmbedder",
    "CalibrationCounts",
    "CalibrationPair",
    "CommandOracle",
    "Embedder",
    "EquivalenceOracle",
    "ExactOracle",
    "Failures",
    "HarmOracle",
    "JudgeOracle",
    "KeywordClassifier",
    "ModelTextEmbedder",
    "Oracle",
    "PrototypeClassifier",
    "SentenceEmbedder",
    "TextClassifier",
    "TransformersClassifier",
    "calibration_counts",
    "read_calibration",
]
