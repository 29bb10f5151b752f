"""Certifies images with the classifiers of a model: smoothing and semantic extent, every level of every tree.

One function serves the callback after each epoch and `certify.py`, so both write the same rows for the same images,
weights and seed. Noise comes by address, so no random state outside is read or changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hrvlm.certificates.attributes import Attribute, chosen_attributes
from hrvlm.certificates.feature_store import FeatureStore
from hrvlm.certificates.image_smoothing import smoothing_records, statements
from hrvlm.certificates.joint_images import JointQuestions, joint_records
from hrvlm.certificates.noise import check_sigma
from hrvlm.certificates.profiling import ProfileOptions
from hrvlm.certificates.records import Key, Record
from hrvlm.certificates.rescoring import check_draws, rescored_records
from hrvlm.certificates.semantic_images import References, classifiers_of, semantic_records
from hrvlm.certificates.semantic_records import LARGEST_DELTA
from hrvlm.certificates.smoothing import SmoothingPlan
from hrvlm.certificates.smoothing_plan import SamplingOptions
from hrvlm.models import HierarchicalClassifier, LevelKey, inference_copy

FIXED_BATCH_SIZE = 128


@dataclass(frozen=True, kw_only=True)
class CertificationPlan:
    """Which certificates are made of which images.

    Attributes:
        num_images: Size of the fixed subset, spread evenly over the split; None takes every image.
        smoothing: Whether smoothing certificates are made.
        semantic: Whether semantic-extent certificates are made.
        profile: Hierarchical profiles of the same samples, at an alpha of their own; none if null.
        joint: Whether joint pixel-and-semantic certificates are made, from n0 + n samples at an alpha of their own.
        sigma: Standard deviation of the noise, in pixel units of [0, 1]; from 0.0001 to 2.
        n0: Selection samples.
        n: Estimation samples.
        alpha: Error probability per image, over all its smoothing statements together.
        seed: Of the noise.
        sampling: How noise samples are spent, and what exactly is certified.
        attributes: Semantic changes; with pictures or appearances of the target, these say how far the change goes.
        deltas: Misalignment bounds at which semantic rows state stable coverage, Euclidean, in units of the features.
        library: More of them, from the attribute library: words by family, for example `{size: [small, large]}`.
        library_files: Files that add families to the packaged library, see `hrvlm.certificates.attributes`.
        joint_questions: Radii and extents of joint certificates.
        radii: L2 radii at which certified accuracy is reported, in pixel units.
        batch_size: Images, or noisy copies, per pass. Null finds a fast one for smoothing certificates and profiles;
            what looks at the batches of one image, joint certificates and answers in words, then takes 128. Counts do
            not depend on it but for the rounding of the encoder, so a run may be resumed with another one.
    """

    num_images: int | None = None
    smoothing: bool = True
    semantic: bool = True
    profile: ProfileOptions | None = None
    joint: bool = False
    sigma: float = 0.1
    n0: int = 32
    n: int = 256
    alpha: float = 0.001
    seed: int = 0
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    attributes: list[Attribute] = field(default_factory=list)
    deltas: list[float] = field(default_factory=list)
    library: dict[str, list[str]] = field(default_factory=dict)
    library_files: list[str] = field(default_factory=list)
    joint_questions: JointQuestions = field(default_factory=JointQuestions)
    radii: list[float] = field(default_factory=lambda: [0.0, 0.1, 0.2, 0.3])
    batch_size: int | None = FIXED_BATCH_SIZE

    def __post_init__(self) -> None:
        if self.num_images is not None and self.num_images < 1:
            raise ValueError(f"expected num_images >= 1 or null, got {self.num_images}")
        check_sigma(self.sigma)
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"expected batch_size >= 1, or null for an automatic one, got {self.batch_size}")
        given = {attribute.name for attribute in self.attributes}
        named = [change for change in chosen_attributes(self.library, self.library_files) if change.name not in given]
        object.__setattr__(self, "attributes", [*self.attributes, *named])
        names = [attribute.name for attribute in self.attributes]
        if len(set(names)) != len(names):
            raise ValueError(f"expected attributes with different names, got {names}")
        if len(set(self.deltas)) != len(self.deltas) or not all(0 <= delta <= LARGEST_DELTA for delta in self.deltas):
            raise ValueError(
                f"expected different deltas from 0 to {LARGEST_DELTA:g}, got {self.deltas}: bounds in feature units"
            )
        if self.joint and not self.attributes:
            raise ValueError("expected attributes for joint certificates, got none: name a semantic change")
        if self.joint and self.joint_questions.move == "target" and any(a.shown for a in self.attributes):
            raise ValueError("expected attributes in words alone for joint rows with move: target, got pictures")
        if self.smoothing or self.joint or self.profile is not None:
            self.smoothing_plan()
        if self.profile is not None:
            self.profile.check(self.smoothing_plan())

    def smoothing_plan(self) -> SmoothingPlan:
        """The part that smoothing needs, checked."""
        given = {name: getattr(self, name) for name in ("sigma", "n0", "n", "alpha", "seed")}
        return SmoothingPlan(**given, **asdict(self.sampling))

    @property
    def fixed_batch_size(self) -> int:
        """The batch size where none can be found automatically: 128 if null."""
        return FIXED_BATCH_SIZE if self.batch_size is None else self.batch_size

    def indices(self, size: int) -> list[int]:
        """Data set indices of the subset: fixed, sorted, evenly spread."""
        count = size if self.num_images is None else min(self.num_images, size)
        return [position * size // count for position in range(count)]


def certify_images(
    classifier: HierarchicalClassifier,
    data: Any,
    indices: Sequence[int],
    plan: CertificationPlan,
    *,
    done: frozenset[Key] | set[Key] = frozenset(),
    progress: Callable[[int], None] = lambda images: None,
    store: FeatureStore | None = None,
    kept: FeatureStore | None = None,
    references: References | None = None,
) -> Iterator[list[Record]]:
    """Certificates of some images of a data set.

    Args:
        classifier: Its head's scores are smoothed; semantic extents are given for the head and for plain cosines.
        data: Map-style data set of (image (3, H, W) in [0, 1], leaf label).
        indices: Which images.
        plan: Which certificates.
        done: Keys of the statements that a previous run has written already.
        progress: Called with 1 for each image that is finished, once per kind of certificate.
        store: Keeps the noisy features of the smoothing pass, to be scored again later.
        kept: Features of an earlier pass over the same images, used instead of the image tower.
        references: Pictures `(M, 3, H, W)` that show the target of an attribute for an image, where the plan names any.

    Yields:
        The records of one image at a time, so that they can be written and flushed.

    Raises:
        ValueError: If kept features lack or are of other pictures, or the plan needs more of them than were kept.
    """
    if kept is not None:
        check_draws(kept, plan)
    classifier = inference_copy(classifier)
    if plan.semantic and plan.attributes:
        for records in semantic_records(classifier, data, indices, plan, done, kept, references):
            yield records
            progress(1)
    if plan.smoothing or plan.profile is not None:
        for smoothed in (
            smoothing_records(classifier, data, indices, plan, done, store)
            if kept is None
            else rescored_records(classifier, data, indices, plan, done, kept)
        ):
            yield smoothed
            progress(1)
    if plan.joint:
        for joint in joint_records(classifiers_of(classifier), data, indices, plan, done, kept):
            yield [record for record in joint if record.key not in done]
            progress(1)


def count_passes(plan: CertificationPlan, num_images: int) -> int:
    """How often `certify_images` reports progress for so many images."""
    return num_images * (
        int(plan.smoothing or plan.profile is not None) + int(plan.semantic and bool(plan.attributes)) + int(plan.joint)
    )


__all__ = ["Attribute", "CertificationPlan", "LevelKey", "certify_images", "count_passes", "statements"]
