"""Certificates for benchmarks/training.py: radii per picture, the same pictures and noise for all methods."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from training_attacks import level_name
from training_runs import Subject

from hrvlm.certificates import ProfileOptions, ProfileRecord, SmoothingRecord
from hrvlm.certificates.images import CertificationPlan
from hrvlm.certificates.run.images import certify_images
from hrvlm.rows.record import Record

ALPHA = 0.001
RADII = (0.1, 0.25, 0.5, 0.75, 1.0)


def certified_lines(
    subject: Subject, split: str, images: int | None, sigma: float, draws: tuple[int, int]
) -> list[dict[str, Any]]:
    """Results of a split under one sigma: a line per level, and one of profiles.

    Args:
        subject: The model.
        split: Of which pictures.
        images: How many; None for all.
        sigma: Noise in pixel units.
        draws: Selection and estimation samples.
    """
    classifier, data = subject.on(split)
    plan = CertificationPlan(
        num_images=images, semantic=False, profile=ProfileOptions(), sigma=sigma, n0=draws[0], n=draws[1], alpha=ALPHA
    )
    indices = plan.indices(len(data))
    records = [record for batch in certify_images(classifier, data, indices, plan) for record in batch]
    common = {"split": split, "sigma": sigma, "images": len(indices), "n": draws[1]}
    found = [
        common | {"level": level_name(classifier, key), "radii": _radii(records, key.level)} for key in classifier.keys
    ]
    chains = [record for record in records if isinstance(record, ProfileRecord)]
    chains.sort(key=lambda record: record.index)
    return [*found, common | {"level": "profile", "radii": [_chain(record) for record in chains]}]


def _radii(records: Sequence[Record], level: int) -> list[float]:
    """Radius of every picture at one level, 0 where it is wrong."""
    own = [record for record in records if isinstance(record, SmoothingRecord) and record.level == level]
    return [_shown(r.radius if r.correct else 0.0) for r in sorted(own, key=lambda record: record.index)]


def _chain(record: ProfileRecord) -> list[float]:
    """Radius of each level of a profile, leaves first, 0 where its node is wrong."""
    triples = zip(record.radii, record.chain, record.labels, strict=True)
    return [_shown(radius if node == label else 0.0) for radius, node, label in triples]


def _shown(radius: float) -> float:
    return int(radius * 1e4) / 1e4  # never more than is certified


def depth(chain: Sequence[float], radius: float) -> int:
    """How many levels of a profile are certified at a radius and right; all levels where the leaf is."""
    return max((len(chain) - level for level, r in enumerate(chain) if r > 0 and r >= radius), default=0)


def certified_shares(radii: Sequence[float]) -> dict[str, float]:
    """Certified accuracy over radii."""
    return {f"{radius:g}": fmean(found > 0 and found >= radius for found in radii) for radius in RADII}


def mean_depths(chains: Sequence[Sequence[float]]) -> dict[str, float]:
    """Mean certified depth over radii."""
    return {f"{radius:g}": fmean(depth(chain, radius) for chain in chains) for radius in RADII}
