"""What targeted attacks on a model that answers in words are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hrvlm.certificates.sampling.plan import SmoothingPlan
from hrvlm.data.items import EvaluationData
from hrvlm.generative import Decoding
from hrvlm.generative.oracles import Oracle
from hrvlm.generative.targeted_attack_records import Budget
from hrvlm.generative.transformers_files import DeviceMap, Dtype
from hrvlm.training.launching import StrategyName


@dataclass(frozen=True, kw_only=True)
class TargetedAttackSettings:
    """Which attacks on which images, and the certificates that they are held against.

    Attributes:
        data: Data module whose split is attacked, or pictures by one text, see `hrvlm.data.open_images`; a manifest of
            questions gives every picture a prompt and forbidden answers of its own.
        oracle: Labels answers.
        forbidden: Class of the oracle that the attack wants.
        wanted: Answers of that class; per image the one that the model finds most probable is the target. Not needed
            where the manifest forbids answers of every picture.
        split: Split of the data; the validation split of a data module if null.
        image_size: Side of pictures that a text names, in pixels; null for 224.
        device: Kind of device, for example "cuda" or "cpu".
        devices: Devices per node, each with a process of its own.
        num_nodes: Number of nodes, all of which see the output.
        strategy: How the processes of a node start: "ddp" ("auto"), "ddp_spawn" or "ddp_fork".
        prompt: What the model is asked; its own default if null.
        decoding: How answers are chosen; greedy, since the attack is on the model and not on its luck.
        num_images: Images spread evenly over the split.
        norm: What budgets bound: the "l2" norm of the change, its largest value ("linf"), or a square "patch" in which
            every pixel may have any colour.
        eps: Budgets in pixel units; of patches the share of the picture that they cover.
        steps: Steps of the attack.
        samples: Noisy copies per gradient of the attack on the smoothed model.
        sigma: Standard deviation of the smoothing noise.
        n0: Selection samples of the certificates.
        n: Estimation samples of the certificates.
        alpha: Error probability of each certificate.
        votes: Noisy copies that vote at attacked images.
        seed: Seed of noise and attacks.
        batch_size: Noisy copies per pass.
        dtype: Type of the numbers of a transformers model; "auto" for that of its files.
        device_map: Places the parts of a transformers model on several devices ("auto", or devices by module); null for
            all of it on `device`.
    """

    data: EvaluationData | str
    oracle: Oracle
    forbidden: str
    wanted: list[str] = field(default_factory=list)
    split: str | None = None
    image_size: int | None = None
    device: str = "cpu"
    devices: int = 1
    num_nodes: int = 1
    strategy: StrategyName = "auto"
    prompt: str | None = None
    decoding: Decoding = field(default_factory=Decoding)
    num_images: int = 32
    norm: Budget = "l2"
    eps: list[float] = field(default_factory=lambda: [0.1, 0.25, 0.5, 1.0, 2.0])
    steps: int = 20
    samples: int = 8
    sigma: float = 0.1
    n0: int = 32
    n: int = 500
    alpha: float = 0.001
    votes: int = 200
    seed: int = 0
    batch_size: int = 256
    dtype: Dtype = "float32"
    device_map: DeviceMap = None

    def __post_init__(self) -> None:
        if self.forbidden not in self.oracle.classes:
            raise ValueError(
                f"expected forbidden among the classes {list(self.oracle.classes)}, got {self.forbidden!r}"
            )
        if self.oracle.needs_anchors:
            raise ValueError(f"expected an oracle with classes of its own, got {self.oracle.name!r} without anchors")
        if self.decoding.random:
            raise ValueError(f"expected greedy decoding, got temperature {self.decoding.temperature:g}")
        if self.num_images < 1 or self.votes < 1 or not all(eps > 0 for eps in self.eps):
            raise ValueError("expected num_images and votes >= 1, and every eps > 0")
        if not isinstance(self.data, str):  # else it may be a manifest that forbids answers
            self.check_wanted()
        if self.norm != "l2" and any(eps > 1 for eps in self.eps):
            raise ValueError(f"expected every eps <= 1 by the norm {self.norm!r}, got {self.eps}")
        self.check_forbidden(self.wanted)
        self.plan()

    def check_wanted(self) -> None:
        """Refuses settings without an answer to push towards.

        Raises:
            ValueError: In one sentence.
        """
        if not self.wanted:
            raise ValueError(f"expected at least one wanted answer of the class {self.forbidden!r}, got none")

    def check_forbidden(self, answers: Sequence[str]) -> None:
        """Refuses answers to push towards that have not the forbidden class.

        Raises:
            ValueError: Naming some.
        """
        index = self.oracle.classes.index(self.forbidden)
        other = [answer for answer, label in zip(answers, self.oracle.labels(answers), strict=True) if label != index]
        if other:
            raise ValueError(f"expected wanted answers of the class {self.forbidden!r}, got {other[:5]}")

    def plan(self) -> SmoothingPlan:
        """The plan of the certificates."""
        return SmoothingPlan(sigma=self.sigma, n0=self.n0, n=self.n, alpha=self.alpha, seed=self.seed)
