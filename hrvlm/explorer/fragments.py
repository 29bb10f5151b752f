"""What the explorer found, as pieces of HTML in the style of report pages; every word of a user is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from torch import Tensor

from hrvlm.certificates.kinds.profile.record import ProfileRecord
from hrvlm.charts.frame import Axes
from hrvlm.charts.lines import Curve, curves
from hrvlm.explorer.attacks import Attacked
from hrvlm.explorer.extents import LevelExtent
from hrvlm.explorer.votes import Vote
from hrvlm.reports.pictures import data_uri

_LEGEND = (
    ("same", "as for the picture"), ("other", "another class"), ("none", "nothing certified"),
    ("against", "contradicts the level below"),
)  # fmt: skip


def sentences(told: Iterable[str], heading: str = "What is guaranteed, and what is not") -> str:
    """Sentences to unfold."""
    items = "".join(f"<p>{escape(sentence)}</p>" for sentence in told)
    return f"<details><summary>{escape(heading)}</summary>{items}</details>"


def note(text: str, *, bad: bool = False) -> str:
    """A line that is read out when it changes."""
    return f'<p role="status" class="{"bad" if bad else "quiet"}">{escape(text)}</p>'


def figure(image: Tensor, caption: str) -> str:
    """A picture (3, H, W) in [0, 1] with its caption, which also stands for it."""
    words = escape(caption)
    shown = f'<img alt="{words}" src="{data_uri(image, None)}">'
    return f'<figure class="picture">{shown}<figcaption>{words}</figcaption></figure>'


def predictions(found: dict[str, str]) -> str:
    """What every level says of a picture."""
    return _table(("level", "prediction"), found.items())


def extent_bars(extents: Sequence[LevelExtent]) -> str:
    """A bar per level, from the picture (left) to the target (right)."""
    keys = "".join(f'<span><i class="{kind}"></i>{words}</span>' for kind, words in _LEGEND)
    rows = "".join(f"<span>{escape(each.name)} {_percent(each.invariance)}</span>{_bar(each)}" for each in extents)
    names = [each.name for each in extents if each.contradictions]
    told = f'<p class="bad">Contradicts the level below: {escape("; ".join(names))}.</p>' if names else ""
    return f'<div class="change">{rows}</div>{told}<p class="words">{keys}</p>'


def _bar(extent: LevelExtent) -> str:
    begin, spans, own = 0.0, [], extent.record.prediction
    labels = [label for *_, label in extent.record.intervals]
    for (end, name), label in zip(extent.pieces, labels, strict=True):
        kind = "same" if label == own else "other"
        title = f"{name}: {100 * begin:.1f} to {100 * end:.1f} percent of the way"
        spans.append(_span(kind, begin, end, name, title))
        begin = end
    spans += [_span("against", start, end, "", "contradicts the level below") for start, end in extent.contradictions]
    words = ", ".join(f"{name} up to {100 * end:.0f} percent" for end, name in extent.pieces) or "nothing certified"
    return f'<div class="bar" role="img" aria-label="{escape(f"{extent.name}: {words}")}">{"".join(spans)}</div>'


def _span(kind: str, begin: float, end: float, words: str, title: str) -> str:
    place = f"left:{100 * begin:.3f}%;width:{100 * (end - begin):.3f}%"
    return f'<span class="{kind}" style="{place}" title="{escape(title)}">{escape(words)}</span>'


def vote_table(vote: Vote, names: Sequence[str]) -> str:
    """Counts, bound and radius of every level after so many samples."""
    rows = []
    for name, words, record in zip(names, vote.classes, vote.levels, strict=True):
        radius = f"{record.radius:.3f}" if record.radius else "abstains"
        rows.append((name, words, f"{record.count} of {record.n}", f"{record.lower:.3f}", radius))
    return _table(("level", "class", "count", "lower bound", "certified L2 radius"), rows, numbers=2)


def vote_curves(votes: Sequence[Vote], names: Sequence[str]) -> str:
    """How the radii of the levels grew with the samples."""
    x = [float(vote.n) for vote in votes]
    found = [Curve(name, x, [vote.levels[place].radius for vote in votes]) for place, name in enumerate(names)]
    highest = max((value or 0.0 for curve in found for value in curve.y), default=0.0)
    axes = Axes(
        title="Certified radius so far", x_label="noise samples", y_label="L2 radius", whole=True,
        description=f"certified radius of every level after up to {votes[-1].n} noise samples",
        x=(0.0, x[-1]), y=(0.0, 1.1 * highest or 0.1),
    )  # fmt: skip
    return f"<figure>{curves(found, axes)}</figure>"


def profile_bars(profiles: Sequence[ProfileRecord]) -> str:
    """Per tree, how far each ancestor is certified, deepest first."""
    largest = max((radius for profile in profiles for radius in profile.radii), default=0.0)
    return "".join(_profile(profile, largest) for profile in profiles)


def _profile(profile: ProfileRecord, largest: float) -> str:
    rows = []
    for name, node, radius in zip(profile.level_names, profile.node_names, profile.radii, strict=True):
        words = f"{node}: up to {radius:.3f}" if radius > 0 else f"{node or 'none'}: nothing certified"
        span = _span("same", 0.0, radius / largest, node, words) if radius > 0 else ""
        bar = f'<div class="bar" role="img" aria-label="{escape(f"{name}, {words}")}">{span}</div>'
        rows.append(f"<span>{escape(name)} {radius:.3f}</span>{bar}")
    scale = f"bars reach to an L2 radius of {largest:.3f}" if largest else "nothing is certified"
    return f'<h3>{escape(profile.tree)}</h3><div class="change">{"".join(rows)}</div><p class="quiet">{scale}</p>'


def attack_result(clean: Tensor, attacked: Attacked, aim: str) -> str:
    """The pictures beside each other, and the levels before and after."""
    changed = "changed" if attacked.broken else "did not change"
    words = f"The attack {changed} the prediction at {aim}; distance {attacked.distance:.5f}."
    pictures = "".join((
        figure(clean, "clean"), figure(attacked.image, "attacked"),
        figure(attacked.difference, f"difference, magnified {attacked.gain:.0f} times"),
    ))  # fmt: skip
    table = _table(("level", "before", "after"), attacked.levels)
    return f'{note(words, bad=attacked.broken)}<div class="pictures">{pictures}</div>{table}'


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int | None = None) -> str:
    """A table whose columns from `numbers` on are numbers, and whose first one names the lines."""
    kinds = ["number" if numbers is not None and place >= numbers else "" for place in range(len(head))]
    top = "".join(f'<th class="{kind}" scope="col">{escape(cell)}</th>' for kind, cell in zip(kinds, head, strict=True))
    lines = []
    for row in rows:
        first, *rest = row
        cells = "".join(f'<td class="{kind}">{escape(cell)}</td>' for kind, cell in zip(kinds[1:], rest, strict=True))
        name = escape(first).replace("/", "/<wbr>")  # the tree's and the level's, each in a line where it is narrow
        lines.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    table = f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{table}</div>'
