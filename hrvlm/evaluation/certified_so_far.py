"""The share of images that are certified, while others are still waiting."""

from __future__ import annotations

from collections.abc import Sequence

from hrvlm.rows.record import Record


class CertifiedSoFar:
    """Counts leaf statements under noise, of those made in this process since it started."""

    def __init__(self) -> None:
        self._images, self._certified = 0, 0

    def told(self, records: Sequence[Record]) -> str:
        """Counts more records, and says the share that is certified at some radius and not known to be wrong; or ""."""
        for record in records:
            radius = getattr(record, "radius", None)
            if radius is not None and record.level == 0:
                self._images += 1
                self._certified += radius > 0 and (record.correct or not record.labelled)
        return f"{self._certified} of {self._images} certified so far" if self._images else ""
