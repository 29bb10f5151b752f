"""What is asked of every kind of certificate; `registry` knows those there are.

A kind is one object: what it needs of an image and makes of it, how its rows are checked without the model, how they
are averaged and told. Commands, callbacks, verification, export and reports know kinds through this interface alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeAlias, TypeVar

from hrvlm.rows.agreement import Group, Said
from hrvlm.rows.measures import Measured
from hrvlm.rows.record import Key, Record
from hrvlm.rows.verifying import Finding

if TYPE_CHECKING:  # rows are checked and told without models
    from torch import Tensor

    from hrvlm.certificates.embedding.attributes import Attribute
    from hrvlm.certificates.kinds.settings import RunSettings
    from hrvlm.certificates.sampling.plan import Statement
    from hrvlm.models import HierarchicalClassifier

R = TypeVar("R", bound=Record)
Summary: TypeAlias = dict[str, Any]
Expected: TypeAlias = dict[tuple[Group, str], Hashable]
"""What rows of a group must say in a field."""
Source = Literal["embedding", "labels", "features", "answers"]
"""What certificates are made of: an image's own embedding, the labels of its noisy copies, the features of these, or
what a model answers to them."""
SOURCES: tuple[Source, ...] = ("embedding", "labels", "features")
"""Those of a classifier's images, in the order of the passes over them; answers have a command's own pass."""
LEVELS = "levels"
"""Whose alpha kinds spend that certify the labels of levels themselves; others spend an alpha under their own name."""


class References(Protocol):
    """Pictures of the target of an attribute, or of the change in order, for the image of an index."""

    def __call__(self, attribute: Attribute, index: int, /) -> Tensor:
        """Pictures `(M, 3, H, W)` in [0, 1] that show the target."""

    def sequence(self, attribute: Attribute, index: int, /) -> Tensor:
        """Pictures `(T, 3, H, W)` in [0, 1] of the change in order; T = 0 where there are none."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a kind certifies, and how.

    Attributes:
        classifier: classifiers of every level, as they are certified.
        plan: noise, sample sizes and confidence, a `SmoothingPlan`; None where no noise is drawn.
        options: of the kind, as `Kind.options` found them.
        batch_size: noisy copies per pass, where a kind makes batches of its own.
        references: pictures that show the target of an attribute, or the change in order.
        features: features `(len(draws), D)` of draws of an image that are known already; None encodes noisy copies.
    """

    classifier: HierarchicalClassifier
    plan: Any
    options: Any
    batch_size: int = 128
    references: References | None = None
    features: Callable[[int, range], Tensor] | None = None

    @cached_property
    def levels(self) -> list[Statement]:
        """What is said of every level, in the order of the classifier."""
        from hrvlm.certificates.kinds.classifiers import statements

        return statements(self.classifier)

    @property
    def device(self) -> Any:
        """Device of the classifier."""
        return self.classifier.text_points(self.classifier.keys[0]).device


@dataclass(frozen=True, eq=False)
class EmbeddedImage:
    """An image without noise, as the model embeds it.

    Attributes:
        index: data set index.
        label: true leaf; -1 where there is none.
        feature: `(1, D)` un-normalised.
        named: leaf that names the image in prompts: the true one, or else the predicted one.
    """

    index: int
    label: int
    feature: Tensor
    named: int


def account_of(plan: Any) -> list[Any]:
    """What of a plan the rows of labels could be made more favourable with: alpha, threshold, procedure."""
    options = plan.sampling
    asked = [plan.alpha, options.threshold, options.votes, options.vote_error]
    return [*asked, options.procedure, options.goal, options.give_up]


class Kind(ABC, Generic[R]):
    """One kind of certificate.

    Attributes:
        name: in rows, summaries and plans.
        record: type of its rows.
        source: what it is made of; kinds of one source share a pass over the images.
        spends: whose alpha its label functions share, see `LEVELS`; None where no noise is drawn.
        report: name of the module that words and draws it, see `kinds.report.KindReport`.
        subject: fields of rows that name the model, which may differ where models are compared.
    """

    name: ClassVar[str]
    record: ClassVar[type[Any]]
    source: ClassVar[Source]
    spends: ClassVar[str | None] = None
    report: ClassVar[str]
    subject: ClassVar[frozenset[str]] = frozenset()

    # How certificates are made.

    def options(self, plan: Any) -> Any | None:
        """What a plan of a run, see `run.plan.CertificationPlan`, asks of this kind; None if nothing.

        Kinds that the plan has no field for have theirs under its `kinds`.
        """
        return plan.kinds.get(self.name)

    def without(self, plan: Any) -> dict[str, Any]:
        """Fields of a plan, with the values that ask nothing of this kind."""
        return {"kinds": {name: given for name, given in plan.kinds.items() if name != self.name}}

    def check_options(self, plan: Any) -> None:
        """Refuses a plan that this kind cannot follow.

        Raises:
            ValueError: naming what to change.
        """

    def check_model(self, plan: Any, scorers: Sequence[str], identity: Callable[[], Mapping[str, Any]]) -> None:
        """Refuses, by ValueError, a model that a plan of a run was not made for.

        Args:
            plan: the plan.
            scorers: of certificates of embeddings.
            identity: gives digest of "weights" and description of "trees", as folders of rows note them.
        """

    def account(self, plan: Any) -> list[Any] | None:
        """What of a plan its rows could be made more favourable with after looking, as JSON values.

        None where no alpha is spent, or that of another kind under the same name.
        """
        return None

    def draws(self, plan: Any) -> int:
        """How many noisy copies of an image are looked at, at most; 0 for none."""
        return 0

    def statements(self, context: Context) -> list[Statement]:
        """What a kind made of labels must know of noisy copies."""
        return []

    @abstractmethod
    def keys(self, context: Context, index: int) -> set[Key]:
        """Keys of all rows that a run owes for an image."""

    def certify(self, context: Context, stream: Iterable[Any]) -> Iterator[Sequence[R]]:
        """The records of each image of a stream, in its order, one image at a time.

        Args:
            context: what is certified, and how.
            stream: of the source "embedding" `EmbeddedImage`, of "labels" `sampling.procedures.Sampled`,
                of "features" `sampling.batches.Sample`.
        """
        raise NotImplementedError(f"{self.name} is not made of the images of a classifier")

    # How rows are checked, without the model.

    @abstractmethod
    def check(self, record: R) -> Iterator[Finding]:
        """What of a record does not follow from what it holds."""

    def check_family(self, records: Sequence[R]) -> Iterator[tuple[R, Finding]]:
        """What the records of this kind about one image do not bear out together."""
        return iter(())

    def said_of_image(self, record: R) -> Iterator[Said]:
        """What a record says that other rows of its image, of any kind, must say too."""
        return iter(())

    def said_of_run(self, record: R, leaf: int | None) -> Iterator[Said]:
        """What a record says that other rows of its run must say too.

        Args:
            record: a record of this kind.
            leaf: true leaf of the image, if its rows tell.
        """
        return iter(())

    def expected(self, settings: RunSettings) -> Expected:
        """What the settings of a run say that its rows of this kind must say too."""
        return {}

    def check_against(self, record: R, settings: RunSettings) -> Iterator[Finding]:
        """What of a record does not fit the trees and attributes of its run."""
        return iter(())

    def statement(self, record: R) -> Hashable:
        """What a record states of its image, the same for all images of a run."""
        return tuple(record.key[2:])

    def counts_for(self, record: R) -> str | None:
        """The tree, or oracle, of whose label a record holds the `count` among its `n` samples.

        None where it holds no such count, or another row of the image holds the same one.
        """
        return None

    # How rows are told.

    @abstractmethod
    def summarise(self, records: Sequence[R], radii: Sequence[float]) -> Summary:
        """Averages of all records of a run, as JSON values.

        Args:
            records: all records of this kind.
            radii: L2 radii at which certified accuracy is reported, in pixel units.
        """

    def scalars(self, summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
        """Names, "TREE/LEVEL/…", and numbers of a summary of this kind, for loggers."""
        return iter(())

    def measures(self, record: R, radii: Sequence[float]) -> Iterable[Measured]:
        """What a record adds to the averages by which models are compared; none by default.

        Args:
            record: of this kind.
            radii: L2 radii at which certified accuracy is compared, in pixel units.
        """
        return ()
