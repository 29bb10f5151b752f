"""What a run of certificates is told: its subject, processes, plan, and what models that answer in words are asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.data.reading_ahead import check_workers
from hrvlm.evaluation.answer_options import AnswerOptions
from hrvlm.evaluation.subject import Subject
from hrvlm.training.launching import StrategyName


@dataclass(frozen=True, kw_only=True)
class CertificationSettings(Subject):
    """What `certify.py run` needs besides checkpoint and output.

    Attributes:
        data: Data module whose split is certified, or any pictures by one text, see `hrvlm.data.open_images`.
        trees: Tree files over the classes; none for one level, and for a model that answers in words.
        split: Split of the data; the validation split of a data module if null.
        num_levels: Cuts every tree to at most this many levels.
        source: How the data are opened, and what they are sorted into.
        device: Kind of device, for example "cuda" or "cpu".
        devices: Devices per node, each with a process of its own.
        num_nodes: Number of nodes, all of which see the output.
        strategy: How the processes of a node start: "ddp" ("auto"), "ddp_spawn" or "ddp_fork".
        plan: Which certificates of which images.
        answers: Prompt, decoding and oracles of a model that answers in words; null for a classifier.
        features: Folder that noisy features are kept in for `certify.py recertify`; none are if null.
        num_workers: Processes that read pictures ahead, for each device; 0 reads them in this one.

    Raises:
        ValueError: If num_workers is negative.
    """

    devices: int = 1
    num_nodes: int = 1
    strategy: StrategyName = "auto"
    plan: CertificationPlan = field(default_factory=CertificationPlan)
    answers: AnswerOptions | None = None
    features: str | None = None
    num_workers: int = 0

    def __post_init__(self) -> None:
        check_workers(self.num_workers)
