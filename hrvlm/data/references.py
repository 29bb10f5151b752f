"""Pictures that show the target of a semantic change: files of the user, or the image itself in another appearance."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from hrvlm.data.appearance import Appearance
from hrvlm.data.decoding import WHITE, read_image
from hrvlm.data.images import evaluation_transform
from hrvlm.data.listing import LeftOut, picture_files
from hrvlm.data.shown_pictures import ShownByImage, is_manifest, read_shown


class ShownTarget(Protocol):
    """A semantic change whose target pictures may show."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def pictures(self) -> Sequence[str]:
        """Files, or folders of files."""

    @property
    def appearances(self) -> Sequence[dict[str, Any]]:
        """Settings of `Appearance`."""

    @property
    def sequence(self) -> str | None:
        """Manifest of pictures of the change in order."""


class TargetPictures:
    """Pictures of targets, of the size that a data set has.

    Args:
        data: Map-style data set of (image (3, S, S) in [0, 1], label); for appearances it must be able to show its
            pictures in several ways, as `EmojiDataset` is.
    """

    def __init__(self, data: Any) -> None:
        self.data = data
        self._manifests: dict[tuple[str, bool], ShownByImage] = {}

    def __call__(self, change: ShownTarget, index: int) -> Tensor:
        """Pictures `(M, 3, S, S)` in [0, 1] that show the target of a change, for the image of an index.

        None, (0, 3, S, S), where manifests have none for the image.

        Raises:
            ValueError: If files are missing or damaged, or the data set cannot show the appearances.
        """
        if change.pictures:
            listed = [path for path in change.pictures if is_manifest(path)]
            others = [path for path in change.pictures if not is_manifest(path)]
            files = [file for path in listed for file in self._listed(path, index, ordered=False)]
            return self._read([*files, *picture_files(others)], index)
        if not hasattr(self.data, "shown"):
            kind = type(self.data).__name__
            raise ValueError(
                f"expected data that can be shown in several ways for the appearances of attribute {change.name!r}, "
                f"got {kind}: name pictures of the target instead"
            )
        try:
            appearances = [Appearance(**settings) for settings in change.appearances]
        except TypeError as error:
            raise ValueError(f"expected settings of an appearance in attribute {change.name!r}: {error}") from error
        shown: Tensor = self.data.shown(index, appearances)
        return shown

    def sequence(self, change: ShownTarget, index: int, step: int | None = None) -> Tensor:
        """Pictures `(T, 3, S, S)` of a change in order, for the image of an index; T = 0 where there are none.

        Of them only the one at position `step`, if that is given.

        Raises:
            ValueError: If files are missing or damaged, or the manifest does not fit the data.
        """
        files = [] if change.sequence is None else self._listed(change.sequence, index, ordered=True)
        return self._read(files if step is None else files[step : step + 1], index)

    def shares(self, change: ShownTarget, index: int) -> list[float]:
        """Which share of a change each picture of `sequence` shows: its step over the last one's, in [0, 1].

        Raises:
            ValueError: If steps do not run from the image itself, 0, to a last one beyond it.
        """
        if change.sequence is None:
            return []
        steps = [picture.step or 0.0 for picture in self._manifest(change.sequence, ordered=True).shown(index)]
        if steps and (steps[0] < 0 or steps[-1] <= 0):
            raise ValueError(
                f"expected steps from 0, the image itself, to a last one above 0 in {change.sequence}, got those from "
                f"{steps[0]:g} to {steps[-1]:g} for image {index}"
            )
        return [step / steps[-1] for step in steps]

    def _listed(self, manifest: str, index: int, *, ordered: bool) -> list[Path]:
        return self._manifest(manifest, ordered=ordered)(index)

    def _manifest(self, manifest: str, *, ordered: bool) -> ShownByImage:
        if (manifest, ordered) not in self._manifests:
            self._manifests[manifest, ordered] = ShownByImage(
                read_shown(manifest, ordered=ordered), self.data, manifest
            )
        return self._manifests[manifest, ordered]

    def _read(self, files: Iterable[Path], index: int) -> Tensor:
        side = int(self.data[index][0].shape[-1])
        transform, background = evaluation_transform(side), getattr(self.data, "background", WHITE)
        read = [transform(read_image(str(path), background)) for path in files]
        return torch.stack(read) if read else torch.empty(0, 3, side, side)


def pictures_identity(changes: Iterable[ShownTarget]) -> dict[str, str]:
    """What tells whether the files that show targets have changed: digests of their contents, if any are named.

    Says which files of the folders are no pictures and left out.
    """
    left_out, changes = LeftOut(), list(changes)
    named = [
        file
        for change in changes
        for path in change.pictures
        for file in (_all_listed(path) if is_manifest(path) else picture_files([path], left_out))
    ]
    left_out.tell("pictures of targets")
    ordered = [file for change in changes if change.sequence for file in _all_listed(change.sequence, ordered=True)]
    found = {"target_pictures": named, "target_sequences": ordered}
    return {name: _digest(files) for name, files in found.items() if files}


def _all_listed(manifest: str, *, ordered: bool = False) -> list[Path]:
    """The manifest and all its pictures."""
    return [Path(manifest), *(picture.path for picture in read_shown(manifest, ordered=ordered))]


def _digest(files: Iterable[Path]) -> str:
    """Digest of the contents of files, in their order."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
