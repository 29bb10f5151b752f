"""What the rows of a run guarantee, under which alpha and which assumptions, in words made from the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hrvlm.certificates.kinds.joint.record import JointRecord
from hrvlm.certificates.kinds.oracle.record import OracleRecord
from hrvlm.certificates.kinds.profile.record import ProfileRecord
from hrvlm.certificates.kinds.semantic.record import SemanticRecord
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.reports.oracle_guarantees import oracle_sentences

NAIVE = (
    "Noise and pixels are float32: the certificate assumes real arithmetic, and an attack inside a radius computed so "
    "is known to exist in principle (Voráček and Hein, 2023)."
)


def guarantees(records: Iterable[Any]) -> list[tuple[str, list[str]]]:
    """Headings with sentences, one entry per kind of certificate found."""
    found: dict[type, list[Any]] = {}
    for record in records:
        found.setdefault(type(record), []).append(record)
    told: dict[type, tuple[str, Callable[[list[Any]], list[str]]]] = {
        SmoothingRecord: ("Smoothing", _smoothing),
        ProfileRecord: ("Hierarchical profile", _profile),
        SemanticRecord: ("Semantic extent", _semantic),
        JointRecord: ("Joint pixel-and-semantic", _joint),
        OracleRecord: ("Generative model with an oracle", _oracle),
    }
    return [(heading, tell(found[kind])) for kind, (heading, tell) in told.items() if kind in found]


def _smoothing(records: list[SmoothingRecord]) -> list[str]:
    first = records[0]
    keeps = f"has the stated class{_reading(first)}"
    sentences = [
        f"For each image, with probability at least {1 - first.alpha:g} (alpha = {first.alpha:g}) over the noise that "
        f"was drawn, and for all {first.num_statements} levels of the image together: the smoothed classifier {keeps} "
        f"at every point closer than the stated L2 radius to the image.",
        f"The smoothed classifier answers for Gaussian noise of standard deviation {_values(records, 'sigma')} in "
        f"{_values(records, 'noise_space')}; counts became bounds by: {_values(records, 'method')} "
        f"({_values(records, 'split')}), from {_samples(records)} counted copies of an image.",
    ]
    return [*sentences, *_assumed(records), *_limits(records)]


def _profile(records: list[ProfileRecord]) -> list[str]:
    first = records[0]
    width = "all radii at once, so that a radius may be chosen after looking"
    if first.budget == "fixed radii":
        width = f"the radii {', '.join(f'{radius:g}' for radius in first.asked)}, which were fixed in advance"
    return [
        f"For each image, with probability at least {1 - first.alpha:g} (alpha = {first.alpha:g}) over the noise, for "
        f"its {first.num_statements} trees together and {width}: at every point within the radius the smoothed "
        f"classifier stays below the stated ancestor{_reading(first)}.",
        *_assumed(records),
        *_limits(records),
    ]


def _semantic(records: list[SemanticRecord]) -> list[str]:
    return [
        "Deterministic, no alpha: while the image's embedding is rotated in the plane of a prompt pair from its own "
        "angle to the target's, the classifier of the level predicts each interval's class at every angle inside it.",
        f"The statement is about embeddings, in double precision, under the scorers {_values(records, 'scorer')}; how "
        "well the rotation stands for pictures of the change is an empirical matter.",
    ]


def _joint(records: list[JointRecord]) -> list[str]:
    first = records[0]
    return [
        f"For each image, with probability at least {1 - first.alpha:g} (alpha = {first.alpha:g}) over the noise, for "
        f"its {first.num_statements} joint statements together: for EVERY image within the stated L2 radius, a share "
        f"above {first.threshold:g} of its noisy copies keeps the class at every point of the semantic move up to the "
        "stated extent. Radii and extents were fixed in advance; the move is of embeddings.",
        *_assumed(records),
        *_limits(records),
    ]


def _oracle(records: list[OracleRecord]) -> list[str]:
    return [*oracle_sentences(records), *_assumed(records), *_limits(records)]


def _reading(record: SmoothingRecord | ProfileRecord) -> str:
    if record.votes is not None and record.vote_error is not None:
        return f" by a vote of {record.votes} fresh samples, each answer with probability >= {1 - record.vote_error:g},"
    return "" if record.threshold == 0.5 else f" with a share above {record.threshold:g} of the copies"


def _assumed(records: list[Any]) -> list[str]:
    modes = {record.float_mode for record in records}
    said = [NAIVE] if "float32" in modes else [f"Noise by {', '.join(sorted(modes))}: sound in floating point."]
    if {record.precision for record in records} != {"float32"}:
        said.append(f"It is about the forward pass in {_values(records, 'precision')}; use the same one in deployment.")
    if any(getattr(record, "functions_chosen", "before") == "after" for record in records):
        said.append(
            "Some prompts, trees or levels were chosen after results on the same noise: alpha does not cover these."
        )
    if any(getattr(record, "noise_shared", False) for record in records):
        said.append(
            "Models of other epochs were certified with the same noise: alpha does not cover the choice of an epoch by "
            "these rows; certify the chosen one with noise of another seed."
        )
    return said


def _limits(records: list[Any]) -> list[str]:
    images, alpha = len({record.index for record in records}), records[0].alpha
    return [
        f"Each probability is about one image, fixed before its noise: among {images} images up to "
        f"{alpha * images:.3g} may be expected to be wrong.",
        "Nothing is said about the base classifier, about other images, or about images picked by their rows.",
    ]


def _samples(records: list[SmoothingRecord]) -> str:
    counts = sorted({record.n for record in records})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _values(records: list[Any], name: str) -> str:
    return ", ".join(str(value) for value in sorted({getattr(record, name) for record in records}, key=str))
