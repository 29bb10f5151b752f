"""What a calibration of semantic certificates is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from hrvlm.certificates.embedding.attributes import Attribute, chosen_attributes
from hrvlm.certificates.kinds.semantic.calibrating import CalibrationOptions
from hrvlm.data.appearance import Appearance, sequence
from hrvlm.evaluation.subject import Subject


@dataclass(frozen=True, kw_only=True)
class AppearanceSequence:
    """A change shown by the data set itself, in equal steps.

    Attributes:
        stop: Settings of `hrvlm.data.Appearance` that show the whole change, such as {size: 0.5}.
        start: Settings of the image itself; as drawn if empty.
        steps: Number of pictures, the image itself included.
    """

    stop: dict[str, Any]
    start: dict[str, Any] = field(default_factory=dict)
    steps: int = 9

    def appearances(self, name: str) -> list[Appearance]:
        """The pictures in their order, without the image itself.

        Raises:
            ValueError: If settings are none of an appearance, naming the change.
        """
        try:
            ends = [Appearance(**_values(each)) for each in (self.start, self.stop)]
            return sequence(ends[0], ends[1], self.steps)[1:]
        except (TypeError, ValueError) as error:
            raise ValueError(f"expected a sequence of appearances of change {name!r}: {error}") from error


def _values(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with tuples for lists, as a background is one."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}


@dataclass(frozen=True, kw_only=True)
class ShownChanges:
    """Which changes are calibrated or checked, by which pictures.

    Attributes:
        attributes: Semantic changes, as a plan of certificates has them; `sequence` names pictures of each in order.
        library: More of them from the attribute library, words by family.
        library_files: Files that add families to the packaged library.
        sequences: By name of a change, how a data set that can be shown in several ways shows it.
        num_images: Size of the fixed subset, spread evenly over the split; null takes every image.
        batch_size: Pictures per pass.
    """

    attributes: list[Attribute] = field(default_factory=list)
    library: dict[str, list[str]] = field(default_factory=dict)
    library_files: list[str] = field(default_factory=list)
    sequences: dict[str, AppearanceSequence] = field(default_factory=dict)
    num_images: int | None = None
    batch_size: int = 256

    def __post_init__(self) -> None:
        changes = self.changes()
        names = [change.name for change in changes]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"expected changes with different names, at least one, got {names}")
        if unknown := sorted(set(self.sequences) - set(names)):
            raise ValueError(f"expected sequences of the changes {', '.join(names)}, got one of {unknown[0]!r}")
        for change in changes:
            if (change.sequence is None) == (change.name not in self.sequences):
                raise ValueError(
                    f"expected pictures of change {change.name!r} in order: as its sequence, a manifest, or among "
                    "sequences, appearances of the data; and not both"
                )
        for name, shown in self.sequences.items():
            shown.appearances(name)

    def changes(self) -> list[Attribute]:
        """All of them."""
        return [*self.attributes, *chosen_attributes(self.library, self.library_files)]

    def identity(self) -> dict[str, Any]:
        """What tells the pictures from others, as JSON values; files are told by their contents."""
        return {"sequences": {name: asdict(shown) for name, shown in sorted(self.sequences.items())}}


@dataclass(frozen=True, kw_only=True)
class CalibrationPlan(ShownChanges):
    """What is calibrated, and for whom.

    Attributes:
        population: The images that claims shall hold of, in words: it stands in every row.
        options: Rates, forms and splits.
    """

    population: str
    options: CalibrationOptions = field(default_factory=CalibrationOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.population.strip():
            raise ValueError("expected a population in words, got a blank text: which images shall the claims hold of?")


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings(Subject):
    """What `certify.py calibrate` needs besides checkpoint and output.

    Attributes:
        plan: Changes, pictures, rates.
    """

    plan: CalibrationPlan


@dataclass(frozen=True, kw_only=True)
class CheckSettings(Subject):
    """What `certify.py check-calibration` needs besides checkpoint, calibration and output.

    Attributes:
        plan: Changes and pictures of a second set of images.
    """

    plan: ShownChanges
