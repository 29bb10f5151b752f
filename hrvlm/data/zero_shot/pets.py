"""Oxford-IIIT Pets with pictures read as everywhere here."""

from __future__ import annotations

from typing import Any

from torchvision.datasets import OxfordIIITPet

from hrvlm.data.decoding import read_image


class Pets(OxfordIIITPet):
    """torchvision's, which opens and decodes pictures itself."""

    def __getitem__(self, idx: int) -> tuple[Any, Any]:
        return read_image(str(self._images[idx])), self._labels[idx]
