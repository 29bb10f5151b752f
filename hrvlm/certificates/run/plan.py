"""Which certificates are made of which images."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hrvlm.certificates.embedding.attributes import Attribute, chosen_attributes, library_name
from hrvlm.certificates.kinds.interface import Kind
from hrvlm.certificates.kinds.joint.options import JointQuestions
from hrvlm.certificates.kinds.profile.options import ProfileOptions
from hrvlm.certificates.kinds.registry import REGISTRY, kinds
from hrvlm.certificates.kinds.semantic.calibration import read_calibration
from hrvlm.certificates.noise.sigma import check_sigma
from hrvlm.certificates.sampling.feature_store import FeatureStore
from hrvlm.certificates.sampling.plan import SamplingOptions, SmoothingPlan

FIXED_BATCH_SIZE = 128
FREE = ("num_images", "radii", "batch_size", "compile_backend", "smoothing", "semantic", "joint")
"""What may change between runs that share a folder: rows do not depend on it, or say it themselves."""


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
        seed: Seed of the noise.
        sampling: How noise samples are spent, and what exactly is certified.
        attributes: Semantic changes; with pictures or appearances of the target, these say how far the change goes.
        deltas: Misalignment bounds at which semantic rows state stable coverage, Euclidean, in units of the features.
        calibration: File of `certify.py calibrate`: semantic rows then state, beside the raw stretch, one that pictures
            of the change seldom contradict; none is stated if null.
        library: More of them, from the attribute library: words by family, for example `{size: [small, large]}`.
        library_files: Files that add families to the packaged library, see `hrvlm.certificates.embedding.attributes`.
        joint_questions: Radii and extents of joint certificates.
        radii: L2 radii at which certified accuracy is reported, in pixel units.
        batch_size: Images, or noisy copies, per pass. Null finds a fast one for smoothing certificates and profiles;
            what looks at the batches of one image, joint certificates and answers in words, then takes 128. Counts do
            not depend on it but for the rounding of the encoder, so a run may be resumed with another one.
        compile_backend: Compiles the image tower for whole batches, usually with "inductor", which on CUDA devices
            launches a batch's kernels at once, by CUDA graphs; it does not pay on processors. Counts are as with
            `batch_size`.
        kinds: What is asked of kinds of certificate that have no field of their own here, by their names.
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
    calibration: str | None = None
    library: dict[str, list[str]] = field(default_factory=dict)
    library_files: list[str] = field(default_factory=list)
    joint_questions: JointQuestions = field(default_factory=JointQuestions)
    radii: list[float] = field(default_factory=lambda: [0.0, 0.05, 0.1, 0.15])
    batch_size: int | None = FIXED_BATCH_SIZE
    compile_backend: str | None = None
    kinds: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.num_images is not None and self.num_images < 1:
            raise ValueError(f"expected num_images >= 1 or null, got {self.num_images}")
        check_sigma(self.sigma)
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"expected batch_size >= 1, or null for an automatic one, got {self.batch_size}")
        if self.compile_backend is not None and self.batch_size is None:
            raise ValueError("expected a batch_size beside compile_backend, which compiles for batches of one size")
        self._add_from_library()
        names = [attribute.name for attribute in self.attributes]
        if len(set(names)) != len(names):
            raise ValueError(f"expected attributes with different names, got {names}")
        if unknown := sorted(set(self.kinds) - set(REGISTRY)):
            raise ValueError(f"expected kinds of certificate among {', '.join(REGISTRY)}, got {unknown[0]!r}")
        if any(kind.spends is not None for kind in self.asked):
            self.smoothing_plan()
        for kind in kinds():
            kind.check_options(self)

    def _add_from_library(self) -> None:
        """Adds the attributes that are named by their words, unless a plan that this one was made from had them."""
        given = {attribute.name for attribute in self.attributes}
        if all(library_name(family, word) in given for family, words in self.library.items() for word in words):
            return
        named = [change for change in chosen_attributes(self.library, self.library_files) if change.name not in given]
        object.__setattr__(self, "attributes", [*self.attributes, *named])

    @property
    def asked(self) -> list[Kind[Any]]:
        """The kinds that are asked for, in the order of summaries."""
        return [kind for kind in kinds() if kind.options(self) is not None]

    def only(self, names: Collection[str]) -> CertificationPlan:
        """The plan that asks of what this one does for some kinds alone."""
        off: dict[str, Any] = {}
        for kind in kinds():
            if kind.name not in names:
                changed = kind.without(replace(self, **off) if "kinds" in off else self)
                off |= changed
        return replace(self, **off)

    def identity(self) -> dict[str, Any]:
        """What rows depend on, as JSON values; the rest they say themselves, or it may change between runs."""
        found = {name: value for name, value in asdict(self).items() if name not in FREE}
        if not self.kinds:
            del found["kinds"]
        del found["calibration"]
        if self.calibration is not None:
            names = {attribute.name for attribute in self.attributes}
            found["calibration"] = read_calibration(self.calibration).noted(names)
        for attribute in found["attributes"]:
            if attribute["sequence"] is None:
                del attribute["sequence"]
        return found

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


def check_draws(store: FeatureStore, plan: CertificationPlan) -> None:
    """ValueError unless as many draws are kept of each image as a plan counts."""
    for kind in plan.asked:
        needed = kind.draws(plan)
        if needed > store.draws:
            raise ValueError(
                f"expected features of at least {needed} draws of each image for {kind.name} certificates with "
                f"n0={plan.n0} and n={plan.n}, got {store.draws} in {store.folder}: keep features of a run with "
                "procedure 'split' and this n0 and n"
            )
