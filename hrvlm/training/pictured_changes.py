"""Semantic changes with pictures of them in order: which changes, how the data show them, and the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from hrvlm.certificates.embedding.attributes import Attribute, chosen_attributes
from hrvlm.data.appearance import Appearance, sequence
from hrvlm.data.references import TargetPictures


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
class PicturedChanges:
    """Which changes, by which pictures.

    Attributes:
        attributes: Semantic changes, as a plan of certificates has them; `sequence` names pictures of each in order.
        library: More of them from the attribute library, words by family.
        library_files: Files that add families to the packaged library.
        sequences: By name of a change, how a data set that can be shown in several ways shows it.
    """

    attributes: list[Attribute] = field(default_factory=list)
    library: dict[str, list[str]] = field(default_factory=dict)
    library_files: list[str] = field(default_factory=list)
    sequences: dict[str, AppearanceSequence] = field(default_factory=dict)

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


class SequencePictures:
    """The pictures of changes, for the images of a data set.

    Args:
        data: Map-style data set of (image (3, S, S) in [0, 1], leaf label).
        shown: Changes and how they are shown.

    Attributes:
        references: Pictures that files show.

    Raises:
        ValueError: If the data cannot show a change.
    """

    def __init__(self, data: Any, shown: PicturedChanges) -> None:
        for name in shown.sequences:
            if not hasattr(data, "shown"):
                raise ValueError(
                    f"expected data that can be shown in several ways for the sequence of change {name!r}, got "
                    f"{type(data).__name__}: name a manifest of pictures as the sequence of the attribute"
                )
        self._data, self._shown = data, shown
        self.references = TargetPictures(data)

    def complete(self, indices: Sequence[int]) -> list[int]:
        """Those images of some that have pictures of all changes.

        Raises:
            ValueError: If there are none.
        """
        changes = self._shown.changes()
        found = [index for index in indices if all(self.shares(change, index) for change in changes)]
        if not found:
            raise ValueError(f"expected images with pictures of all changes, got none among {len(indices)}")
        return found

    def shares(self, change: Attribute, index: int) -> list[float]:
        """Which share in [0, 1] of a change each of its pictures shows; none where there are no pictures."""
        if change.name in self._shown.sequences:
            steps = self._shown.sequences[change.name].steps - 1
            return [(step + 1) / steps for step in range(steps)]
        return self.references.shares(change, index)

    def pictures(self, change: Attribute, index: int) -> Tensor:
        """All pictures `(T, 3, S, S)` of a change, in [0, 1], without the image itself."""
        if change.name in self._shown.sequences:
            found: Tensor = self._data.shown(index, self._shown.sequences[change.name].appearances(change.name))
            return found
        return self.references.sequence(change, index)

    def picture(self, change: Attribute, index: int, step: int) -> Tensor:
        """The picture `(3, S, S)` at one position of `shares`, without the cost of the others."""
        if change.name in self._shown.sequences:
            appearance = self._shown.sequences[change.name].appearances(change.name)[step]
            found: Tensor = self._data.shown(index, [appearance])[0]
            return found
        return self.references.sequence(change, index, step)[0]
