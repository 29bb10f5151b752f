"""Mean invariant shares for pages, of images that are right and of all; see `figures` for the same in matplotlib."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from hrvlm.certificates.kinds.semantic.record import TEXT, SemanticRecord
from hrvlm.charts.bars import Bar, bars


def mean_bars(records: Sequence[SemanticRecord]) -> list[str]:
    """A chart per scorer and change, a bar per level: the mean over all images, and over those that are right."""
    groups: dict[tuple[str, str, bool, str, int, str], list[tuple[float, bool]]] = defaultdict(list)
    known = any(record.labelled for record in records)
    for r in records:
        change = r.attribute if r.target_kind == TEXT else f"{r.attribute} ({r.target_kind})"
        place = (r.level > 0, r.tree if r.level else "", r.level, r.level_name)
        groups[r.scorer, change, *place].append((r.invariance, r.correct))
    charts: dict[tuple[str, str], list[Bar]] = defaultdict(list)
    for (scorer, change, _, tree, _, name), found in sorted(groups.items()):
        right = [share for share, correct in found if correct]
        mean = 100 * sum(share for share, _ in found) / len(found)
        of_right = 100 * sum(right) / len(right) if right else None
        charts[scorer, change].append(Bar(f"{tree}/{name}" if tree else name, mean, of_right if known else None))
    return [
        bars(
            found, title=f"{change}, {scorer}", x_label="mean invariant share of the way in percent",
            names=("all images", "those predicted right") if known else ("all images",),
        )
        for (scorer, change), found in charts.items()
    ]  # fmt: skip
