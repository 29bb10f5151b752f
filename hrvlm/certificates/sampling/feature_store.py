"""Noisy image features of a pass, kept on disk so that new prompts, trees, planes or levels need no image tower.

Sources of the idea: "OVC", arXiv 2311.09024, which certifies new prompts from cached embeddings of noisy images.

A folder holds `store.json`, which ties it to one model and one stream of noise, and per image a few safetensors files
of at most `ROWS_PER_FILE` draws each, so that neither writing nor reading needs memory that grows with the number of
draws. Files appear whole or not at all, and the first draws of an image come first: an image is complete when its last
file is there, and one that a kill left unfinished is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from hrvlm.certificates.sampling.batches import Sample
from hrvlm.certificates.sampling.feature_files import CLEAN, NOISY, opened_features
from hrvlm.trees.bounded_text import read_json
from hrvlm.whole_files import whole_file, write_whole

_log = logging.getLogger(__name__)
ROWS_PER_FILE = 1024
STORE = "store.json"


@dataclass(eq=False)
class _Open:
    """An image whose features are coming in: at most one file of them is in memory."""

    picture: str
    buffer: Tensor | None = None
    next_draw: int = 0


class FeatureStore:
    """A folder of noisy features.

    Args:
        folder: made if absent.
        settings: JSON values that the features depend on: model, noise, data.
        draws: draws 0 to draws - 1 are kept of each image.

    Raises:
        ValueError: if the folder holds features of other settings or numbers of draws.
    """

    def __init__(self, folder: str | Path, settings: Mapping[str, Any], draws: int) -> None:
        self.folder, self.draws = Path(folder), draws
        self.settings = json.loads(json.dumps(dict(settings)))
        self._open: dict[int, _Open] = {}
        self._reading: int | None = None  # image that was read last, all of whose files were looked at
        self.folder.mkdir(parents=True, exist_ok=True)
        noted = _read_settings(self.folder)
        given = self.settings | {"draws": draws}
        if noted is None:
            write_whole(self.folder / STORE, json.dumps(given, indent=2) + "\n")
            return
        changed = sorted(name for name in {*noted, *given} if noted.get(name) != given.get(name))
        if changed:
            raise ValueError(
                f"expected the {', '.join(changed)} that the features in {folder} were made with; choose another folder"
            )

    @classmethod
    def load(cls, folder: str | Path) -> FeatureStore:
        """The store in a folder, with the settings it was made with.

        Raises:
            ValueError: if there is none.
        """
        noted = _read_settings(Path(folder))
        if noted is None:
            raise ValueError(f"expected kept features in {folder}, found no {STORE}; make them with certify.py run")
        draws = int(noted.pop("draws"))
        return cls(folder, noted, draws)

    def is_complete(self, index: int) -> bool:
        """Whether all draws of an image are kept, and the image without noise; a damaged file is none."""
        try:
            self._check_whole(index)
        except ValueError as error:
            if self._last(index).exists():
                _log.warning("%s", error)
            return False
        return True

    def _check_whole(self, index: int) -> None:
        if not self._last(index).is_file():
            raise ValueError(f"expected kept features of image {index} in {self.folder}, found none or not all")
        with opened_features(self._clean_path(index), CLEAN):
            pass
        for number in range(-(-self.draws // ROWS_PER_FILE)):
            with opened_features(self._path(index, number), NOISY, self._rows(number)):
                pass

    def indices(self) -> list[int]:
        """Images that are complete, sorted."""
        found = {int(path.parent.name) for path in self.folder.glob("*/*/00000.safetensors")}
        return sorted(index for index in found if self.is_complete(index))

    def begin(self, sample: Sample, clean: Tensor) -> None:
        """Note an image, and its feature `(D,)` without noise; what is kept of it already will be replaced."""
        self._reading = None
        folder = self._path(sample.index, 0).parent
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("*.safetensors"), reverse=True):  # the last file says that all are there
            path.unlink()
        self._open[sample.index] = _Open(fingerprint(sample.image))
        self._save(self._clean_path(sample.index), {CLEAN: clean}, self._open[sample.index].picture)

    def append(self, index: int, draws: Sequence[int], features: Tensor) -> None:
        """Keep features `(len(draws), D)` of the next draws of an image that was begun.

        Raises:
            ValueError: if the draws do not go on where the last ones ended.
        """
        image = self._open[index]
        if draws[0] != image.next_draw or draws[0] + len(draws) > self.draws:
            raise ValueError(f"expected draw {image.next_draw} of {self.draws} next for image {index}, got {draws}")
        rows = features.detach().to("cpu")
        while len(rows):
            place = image.next_draw % ROWS_PER_FILE
            size = min(ROWS_PER_FILE, self.draws - image.next_draw + place)
            if image.buffer is None:
                image.buffer = rows.new_empty((size, rows.shape[1]))
            taken = rows[: size - place]
            image.buffer[place : place + len(taken)] = taken
            image.next_draw, rows = image.next_draw + len(taken), rows[len(taken) :]
            if place + len(taken) == size:
                path = self._path(index, (image.next_draw - 1) // ROWS_PER_FILE)
                self._save(path, {NOISY: image.buffer}, image.picture)
                image.buffer = None
        if image.next_draw == self.draws:
            del self._open[index]

    def read(self, index: int, draws: range) -> Iterator[Tensor]:
        """Features of consecutive draws of an image, `(B, D)` each, file by file.

        Raises:
            ValueError: if they are not kept.
        """
        if draws and (draws.step != 1 or not 0 <= draws[0] <= draws[-1] < self.draws):
            raise ValueError(f"expected kept features of draws {draws} of image {index} in {self.folder}, found none")
        if index != self._reading:  # joint certificates ask for one batch after the other
            self._check_whole(index)
            self._reading = index
        begin, end = draws.start, draws.stop
        while begin < end:
            number, place = divmod(begin, ROWS_PER_FILE)
            stop = min(end, (number + 1) * ROWS_PER_FILE)
            with opened_features(self._path(index, number), NOISY, self._rows(number)) as file:
                yield file.get_slice(NOISY)[place : place + stop - begin]
            begin = stop

    def clean(self, index: int) -> Tensor:
        """Feature `(D,)` of an image without noise.

        Raises:
            ValueError: if it is not kept.
        """
        path = self._clean_path(index)
        if not path.is_file():
            raise ValueError(f"expected the kept feature of image {index} in {self.folder}, found none")
        with opened_features(path, CLEAN) as file:
            feature: Tensor = file.get_tensor(CLEAN)
        return feature

    def check_picture(self, sample: Sample) -> None:
        """ValueError unless all features of an image are kept, and are those of this very picture."""
        self._check_whole(sample.index)
        with opened_features(self._path(sample.index, 0), NOISY) as file:
            if (file.metadata() or {}).get("picture") == fingerprint(sample.image):
                return
        raise ValueError(
            f"expected the picture that the features of image {sample.index} in {self.folder} were made of, got "
            "another one: use the same data and split"
        )

    def _path(self, index: int, number: int) -> Path:
        return self.folder / f"{index // 1000:06d}" / str(index) / f"{number:05d}.safetensors"

    def _last(self, index: int) -> Path:
        """The file that is written last."""
        return self._path(index, (self.draws - 1) // ROWS_PER_FILE)

    def _clean_path(self, index: int) -> Path:
        return self._path(index, 0).with_name("clean.safetensors")

    def _rows(self, number: int) -> int:
        """How many draws a file holds."""
        return min(ROWS_PER_FILE, self.draws - number * ROWS_PER_FILE)

    def _save(self, path: Path, tensors: dict[str, Tensor], picture: str) -> None:
        content = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
        try:
            with whole_file(path) as new:
                save_file(content, new, {"picture": picture})
        except SafetensorError as error:  # of the library's own kind, whatever the system said
            raise ValueError(f"expected to write the features in {path}, got {error}; make room and go on") from error


def fingerprint(image: Tensor) -> str:
    """Digest of the pixels `(C, H, W)`, as float32."""
    pixels = image.detach().to("cpu", torch.float32).contiguous()
    return hashlib.sha256(str(tuple(pixels.shape)).encode() + pixels.numpy().tobytes()).hexdigest()


def _read_settings(folder: Path) -> dict[str, Any] | None:
    path = folder / STORE
    if not path.is_file():
        return None
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        found = f"a damaged file ({error})"
    if isinstance(found, dict) and type(found.get("draws")) is int and found["draws"] > 0:
        return found
    raise ValueError(
        f"expected {path} to tell what features were made with, with their number of draws, got {str(found)[:200]}: "
        "put back the file, or keep features in another folder"
    )
