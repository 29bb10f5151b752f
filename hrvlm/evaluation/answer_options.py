"""What a run is told of a model that answers in words: prompt, decoding, oracles, their errors, true answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml

from hrvlm.certificates.kinds.oracle.errors import ErrorModel, OracleError, Scope
from hrvlm.certificates.sampling.plan import SamplingOptions
from hrvlm.generative import Decoding, Generator, load_generator
from hrvlm.generative.captions import reference_answers
from hrvlm.generative.endpoint_client import EndpointOptions
from hrvlm.generative.oracles import Oracle
from hrvlm.generative.transformers_files import DeviceMap, Dtype
from hrvlm.models import Checkpoint
from hrvlm.trees.bounded_text import file_digest, read_text
from hrvlm.trees.strict_text import load_yaml

EMOJI_REFERENCES = "emoji"
ORACLE_PROCEDURES = ("split", "shared", "pilot")
PER_IMAGE = (
    "the outputs labelled for a run are not those of each of its images; label some of every image "
    "(certify.py answers --scope image) and give them to certify.py audit"
)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Labelled outputs that an oracle's error rate is estimated from; the other fields are those of `OracleError`.

    One file serves all images of a run, so it can be about no image in particular: that is what audits are for.

    Attributes:
        file: JSON lines {"answer", "label"}, see `hrvlm.generative.oracles.calibration`.
        model: What the rate is: "overall", "false positive", "conditional" or "audit".
        scope: What the outputs stand for: "homogeneous" or "population".
        gamma: Share of a population's images that its certificates leave out.
        calibration_share: Part of alpha spent on the rate.
    """

    file: str
    model: ErrorModel
    scope: Scope
    gamma: float | None = None
    calibration_share: float = 0.5

    def __post_init__(self) -> None:
        if self.scope == "image":
            raise ValueError(f"expected calibration with another scope than 'image': {PER_IMAGE}")
        OracleError(  # its checks of what fits each other, before a model is loaded
            model=self.model, rate=0.0, scope=self.scope, gamma=self.gamma, calibration_share=self.calibration_share
        )


@dataclass(frozen=True, kw_only=True)
class QuestionOptions:
    """An oracle and what is known of its errors; without either only the composite claim is made.

    Attributes:
        oracle: Labels answers. An `EquivalenceOracle` without anchors compares with the answer on the clean image.
        error: A rate that is given, or counts of labelled outputs that were not drawn at one image.
        calibration: Labelled outputs to estimate the rate from.
        target: Class of the oracle that is certified whichever one is the most frequent, as a filter with a threshold
            below 1/2 needs; null for the most frequent one of the selection samples.
    """

    oracle: Oracle
    error: OracleError | None = None
    calibration: Calibration | None = None
    target: str | None = None

    def __post_init__(self) -> None:
        if self.target is not None and self.oracle.needs_anchors:
            raise ValueError(
                f"expected no target with anchors that differ by image, got {self.target!r}: what is certified is "
                "always that answers are equivalent to the anchor"
            )
        if self.target is not None and self.target not in self.oracle.classes:
            raise ValueError(f"expected target as one of the classes {list(self.oracle.classes)}, got {self.target!r}")
        if self.error is not None and self.calibration is not None:
            raise ValueError("expected error or calibration of an oracle, got both: a rate is given or estimated")
        if self.error is not None and self.error.estimated and self.error.scope == "image":
            raise ValueError(f"expected errors and trials with another scope than 'image': {PER_IMAGE}")
        if self.calibration is not None and self.oracle.needs_anchors:
            raise ValueError("expected error with anchors that differ by image, got calibration: so do its classes")


@dataclass(frozen=True, kw_only=True)
class AnswerOptions:
    """What is asked of a model that answers in words.

    Attributes:
        questions: Oracles; they share alpha, and every answer is labelled by all of them.
        prompt: What the model is asked; its own default if null.
        decoding: How answers are chosen.
        references: YAML or JSON file of true answers by class id, "emoji" for those of the packaged pictures, or null
            where none are known.
        dtype: Type of the numbers of a transformers model; "auto" for that of its files.
        device_map: Places the parts of a transformers model on several devices ("auto", or devices by module); null for
            all of it on `device`.
        reuse_prefix: Whether a transformers model reads the text before the picture once for all pictures.
        endpoint: How a server is asked, where the model is one.
    """

    questions: list[QuestionOptions]
    prompt: str | None = None
    decoding: Decoding = field(default_factory=Decoding)
    references: str | None = None
    dtype: Dtype = "float32"
    device_map: DeviceMap = None
    reuse_prefix: bool = False
    endpoint: EndpointOptions = field(default_factory=EndpointOptions)

    def __post_init__(self) -> None:
        names = [question.oracle.name for question in self.questions]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"expected at least one oracle and distinct names, got {names}")

    def load(self, checkpoint: Checkpoint | str, device: torch.device | str) -> Generator:
        """The model that is asked; see `load_generator`."""
        return load_generator(
            checkpoint,
            prompt=self.prompt,
            decoding=self.decoding,
            device=device,
            dtype=self.dtype,
            device_map=self.device_map,
            reuse_prefix=self.reuse_prefix,
            endpoint=self.endpoint,
        )


def check_sampling(sampling: SamplingOptions) -> None:
    """Only procedures whose number of counted samples does not depend on them, and no deployed votes.

    "adaptive" stops where all of a statement's alpha decides the goal for the oracle's own label; the rows have but
    the part that a calibration leaves, and the oracle's error comes off too, so the decision would not be theirs.

    Raises:
        ValueError: If the plan asks for another procedure, or for votes.
    """
    if sampling.procedure not in ORACLE_PROCEDURES or sampling.votes is not None:
        raise ValueError(
            f"expected sampling with answers by one of the procedures {list(ORACLE_PROCEDURES)} and without votes, got "
            f"{sampling.procedure!r} and votes={sampling.votes}: what 'adaptive' decides at its stop and the second "
            "bound of 'two bounds' are not what an oracle's error leaves, and votes are not of an ideal oracle's label"
        )


def read_references(source: str | None, class_names: Sequence[str], prompt: str) -> list[tuple[str, ...]] | None:
    """True answers per class of the data.

    Raises:
        ValueError: If the file is missing, is no mapping of texts, or lacks a class.
    """
    if source is None:
        return None
    if source == EMOJI_REFERENCES:
        return [reference_answers(name, prompt) for name in class_names]
    path = Path(source)
    if not path.is_file():
        raise ValueError(f'expected references as "emoji" or a file, got {source!r}, which is no file')
    try:
        found = load_yaml(read_text(path))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"expected readable true answers in {path}: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise ValueError(f"expected a mapping of class ids to true answers in {path}, got {type(found).__name__}")
    answers = {str(key): [value] if isinstance(value, str) else value for key, value in found.items()}
    lacking = [name for name in class_names if name not in answers]
    if lacking:
        raise ValueError(f"expected true answers for every class in {path}, got none for {lacking[:5]}")
    for name in class_names:
        texts = answers[name]
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"expected a text or a list of texts for {name!r} in {path}, got {texts!r}")
    return [tuple(answers[name]) for name in class_names]


def reference_digest(source: str | None) -> str | None:
    """What rows depend on of the true answers: a digest of their file, or what stands for no file."""
    if source is None or source == EMOJI_REFERENCES:
        return source
    return file_digest(source)
