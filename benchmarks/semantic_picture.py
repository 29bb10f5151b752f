"""One emoji, what raw and calibrated certificates claim of it, and the pictures themselves.

    python benchmarks/semantic_picture.py [--images N] [--change NAME] [--output FILE]

Emoji by the unseen artist are calibrated on as `certify.py calibrate` does, except for every third. Of these new ones
the first is drawn whose whole range is claimed raw, whose pictures contradict that, and of which nothing is claimed
when calibrated at epsilon .1: an example of what calibration is for. Writes docs/figures/semantic_picture.svg, minutes
of one core.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.figure import Figure
from semantic_changes import CHANGES, Change
from semantic_subject import Subject
from torch import Tensor

from hrvlm.certificates.kinds.scorers import LevelScorers
from hrvlm.certificates.kinds.semantic.calibrated_stretch import MARGINAL
from hrvlm.certificates.kinds.semantic.calibrating import CalibrationOptions, calibrate_claim
from hrvlm.certificates.kinds.semantic.calibration_losses import ShownChange
from hrvlm.data.appearance import sequence
from hrvlm.evaluation.shown_features import Encoded, claims_of
from hrvlm.models import inferring
from hrvlm.whole_files import write_whole

FILE = Path(__file__).parents[1] / "docs" / "figures" / "semantic_picture.svg"
STEPS, EVERY = 9, 3
RAW, IMAGE, CLAIMED, OTHER = "#9a9a9a", "#c7c7c7", "#3b82c4", "#c0392b"
_STYLE: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "semantic", "font.size": 8}


@dataclass(frozen=True)
class Claims:
    """Shares of the change, `(N,)` each, that are claimed of new images.

    Attributes:
        text: raw, up to the target prompt.
        image: raw, up to the last picture.
        calibrated: by epsilon, marginal.
        first: where the first picture with another label lies; infinite for none.
    """

    text: Tensor
    image: Tensor
    calibrated: dict[float, Tensor]
    first: Tensor

    def example(self) -> int:
        """Which image is drawn."""
        fitting = (self.text > 1 - 1e-9) & self.first.isfinite() & (self.calibrated[0.1] == 0)
        if not bool(fitting.any()):
            raise ValueError("expected an image that is claimed whole and wrongly, got none: take more images")
        return int(fitting.nonzero()[0])


def _leaf(subject: Subject, change: Change, encoded: Encoded) -> ShownChange:
    """Claims of leaves under cosines."""
    cosine = LevelScorers({"cosine": subject.classifiers["cosine"]})
    return next(claims_of(cosine, change.family.attribute(change.word), encoded))[1]


def claims(subject: Subject, change: Change, features: Tensor, new: Tensor) -> Claims:
    """What is claimed of new images, the others calibrated on; of pictures with features `(N, T, D)`."""
    count, options = len(features), CalibrationOptions()
    shares = torch.linspace(0, 1, STEPS, dtype=torch.float64)[1:].expand(count, STEPS - 1)
    prompts = subject.prompts(change.family.attribute(change.word))
    encoded = Encoded(features[:, 0], features[:, 1:], shares, prompts, [None] * count)
    known = torch.tensor([i for i in range(count) if i not in set(new.tolist())])
    parts = options.parts(len(known)).values()
    fitted, choice, rest = (_leaf(subject, change, encoded.rows(known[part])) for part in parts)
    calibrated = calibrate_claim(fitted.speed(), choice, rest, options)
    shown = _leaf(subject, change, encoded.rows(new))
    by_picture = Encoded(features[:, 0], features[:, 1:], shares, prompts, list(features[:, -1].double()))
    text, image = (
        each.stretches.whole / each.way.abs() for each in (shown, _leaf(subject, change, by_picture.rows(new)))
    )
    found = {}
    for epsilon, (scale, speed, critical) in calibrated.found.items():
        threshold = options.thresholds(critical, epsilon)[MARGINAL]
        found[epsilon] = torch.zeros(len(new)) if threshold is None else shown.share(threshold, scale, speed)
    return Claims(text, image, found, shown.first)


def drawn(pictures: Tensor, words: Sequence[str], bars: Sequence[tuple[str, float, str]], title: str) -> Figure:
    """The pictures `(T, 3, H, W)` in order with their labels, above bars (name, share, colour) of what is claimed."""
    figure = Figure(figsize=(7.5, 2.9))
    axes = figure.add_axes((0.2, 0.14, 0.76, 0.76))
    step = 1 / (len(pictures) - 1)
    for place, (picture, word) in enumerate(zip(pictures, words, strict=True)):
        left = place * step
        box = (left - 0.42 * step, left + 0.42 * step, -0.6, -2.2)
        axes.imshow(picture.permute(1, 2, 0).numpy(), extent=box, aspect="auto")
        colour = "black" if word == words[0] else OTHER
        axes.text(left, -0.15, word.replace(" ", "\n", 1), ha="center", va="center", fontsize=6, color=colour)
        axes.axvline(left, 0, 0.67, color="#dddddd", linewidth=0.6, zorder=0)
    for place, (name, share, colour) in enumerate(bars):
        axes.barh(0.6 + place, share, 0.6, color=colour)
        axes.text(-0.08, 0.6 + place, name, ha="right", va="center")
        axes.text(share + 0.01, 0.6 + place, f"{share:.2f}", va="center", fontsize=7)
    axes.set(xlim=(-0.075, 1.09), ylim=(len(bars) + 0.2, -2.3), title=title, xlabel="share of the change")
    axes.set_yticks([])
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    return figure


def figure_of(subject: Subject, change: Change) -> Figure:
    """The example of a change."""
    appearances = sequence(change.start, change.stop, STEPS)
    new = torch.arange(EVERY - 1, len(subject.indices), EVERY)
    with inferring(*subject.classifiers.values()):
        features = subject.encode(subject.shown(appearances))
        found = claims(subject, change, features, new)
        place = found.example()
        image = int(new[place])
        classifier = subject.classifiers["cosine"]
        leaf = classifier.keys[0]
        labels = classifier.labels(classifier.head.lift_image(features[image]), [leaf])[leaf].tolist()
    words = [classifier.forest[0].levels[0].names[label] for label in labels]
    bars = [
        ("raw, to the target prompt", float(found.text[place]), RAW),
        ("raw, to the last picture", float(found.image[place]), IMAGE),
        *(
            (f"calibrated, epsilon {epsilon:g}", float(share[place]), CLAIMED)
            for epsilon, share in found.calibrated.items()
        ),
    ]
    title = f"{subject.names[image]}, {change.name}: labels of the pictures, and what is claimed"
    return drawn(subject.data.shown(subject.indices[image], appearances), words, bars, title)


def main() -> None:
    """Draws it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=501)
    parser.add_argument("--change", choices=[change.name for change in CHANGES], default="background: blue")
    parser.add_argument("--output", type=Path, default=FILE)
    arguments = parser.parse_args()
    change = next(change for change in CHANGES if change.name == arguments.change)
    with mpl.rc_context(_STYLE):
        buffer = io.StringIO()
        figure_of(Subject(arguments.images), change).savefig(buffer, format="svg", metadata={"Date": None})
    write_whole(arguments.output, "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n")


if __name__ == "__main__":
    main()
