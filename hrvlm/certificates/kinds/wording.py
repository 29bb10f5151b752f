"""Sentences on guarantees that several kinds of certificate share, made from their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hrvlm.certificates.kinds.labelled import labelled
from hrvlm.rows.table import distinct, examples

NAIVE = (
    "Noise and pixels are float32: the certificate assumes real arithmetic, and an attack inside a radius computed so "
    "is known to exist in principle (Voráček and Hein, 2023)."
)


def reading(record: Any) -> str:
    """How the smoothed classifier reads noisy copies: what a vote of fresh samples, or a threshold, adds."""
    if record.votes is not None and record.vote_error is not None:
        return f" by a vote of {record.votes} fresh samples, each answer with probability >= {1 - record.vote_error:g},"
    return "" if record.threshold == 0.5 else f" with a share above {record.threshold:g} of the copies"


def assumed(records: Sequence[Any]) -> list[str]:
    """What a guarantee about noise assumes: arithmetic, precision, and choices that alpha does not cover."""
    modes, some = distinct(records, "float_mode"), examples(records)
    said = [NAIVE] if "float32" in modes else [f"Noise by {', '.join(sorted(modes))}: sound in floating point."]
    if distinct(records, "precision") != {"float32"}:
        said.append(f"It is about the forward pass in {values(records, 'precision')}; use the same one in deployment.")
    if any(getattr(record, "functions_chosen", "before") == "after" for record in some):
        said.append(
            "Some prompts, trees or levels were chosen after results on the same noise: alpha does not cover these."
        )
    if any(getattr(record, "noise_shared", False) for record in some):
        said.append(
            "Models of other epochs were certified with the same noise: alpha does not cover the choice of an epoch by "
            "these rows; certify the chosen one with noise of another seed."
        )
    return said


def unlabelled(records: Sequence[Any], *, prompts: bool = False) -> list[str]:
    """What is said of images without a true label, in sentences; nothing if all have one.

    Args:
        records: of one kind.
        prompts: whether the rows have prompts that name the image.
    """
    images = len(distinct(records, "index"))
    count = images - len(distinct(labelled(records), "index"))
    if not count:
        return []
    named = " Their prompts name the class that is predicted at the leaves." if prompts else ""
    return [
        f"{count} of {images} images have no label: claims are about the "
        f"prediction, whether it is right or not, and no accuracy is told of them.{named}"
    ]


def limits(records: Sequence[Any]) -> list[str]:
    """What a guarantee that holds with probability 1 - alpha does not say."""
    images, alpha = len(distinct(records, "index")), records[0].alpha
    return [
        f"Each probability is about one image, fixed before its noise: among {images} images up to "
        f"{alpha * images:.3g} may be expected to be wrong.",
        "Nothing is said about the base classifier, about other images, or about images picked by their rows.",
    ]


def values(records: Sequence[Any], name: str) -> str:
    """All values of a field, sorted as words."""
    return ", ".join(str(value) for value in sorted(distinct(records, name), key=str))
