"""Labels of the packaged captioner's answers under noise, drawn once per picture and kept as they come.

`python benchmarks/generative_draws.py` draws, in this order: the pilot of every picture; the wide samples of those
whose pilot chose the true class (the others certify nothing, whatever is drawn); the deep and the deepest samples of
the first of them. It may be stopped at any time and goes on where it was: sample number `draw` of a picture has its
noise by address.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
from generative_labels import (
    BATCH,
    DEEP,
    DEEPEST,
    FIRST,
    FOLDER,
    IMAGES,
    PILOT,
    SEED,
    SIGMAS,
    SPLIT,
    WIDE,
    label_file,
    mode,
    read_labels,
)

from hrvlm.certificates.noise.gaussian import gaussian
from hrvlm.data import emoji
from hrvlm.generative import Generator, load_generator
from hrvlm.generative.captions import reference_answers
from hrvlm.generative.oracles import CommandOracle
from hrvlm.models import inference_copy


def captioner() -> Generator:
    """The packaged captioner, as certificates use it."""
    return inference_copy(load_generator("emoji-captioner", prompt="act"))


@dataclass
class Drawing:
    """Draws labels of pictures and keeps one file of them per picture and sigma.

    Attributes:
        folder: Where files lie.
        images: How many pictures, spread evenly over the split and then shuffled.
        until: Time by `time.time()` at which drawing stops.
        drawn: Labels drawn by this process.
    """

    folder: Path
    images: int
    until: float
    drawn: int = 0
    generator: Generator = field(
        default_factory=lambda: inference_copy(load_generator("emoji-captioner", prompt="act"))
    )
    oracle: CommandOracle = field(default_factory=CommandOracle)

    def __post_init__(self) -> None:
        self.data = emoji(SPLIT)
        spread = np.linspace(0, len(self.data) - 1, self.images).astype(int)
        # In no order, so that the first ones stand for all where time does not suffice.
        self.indices = np.random.default_rng(SEED).permutation(spread).tolist()
        setting = {
            "generator": self.generator.describe(),
            "oracle": self.oracle.describe(),
            "split": SPLIT,
            "seed": SEED,
            "indices": self.indices,
            "true": [self._true(index) for index in self.indices],
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "setting.json"
        if not path.exists():
            path.write_text(json.dumps(setting, indent=2) + "\n", encoding="utf-8")
        if json.loads(path.read_text(encoding="utf-8")) != json.loads(json.dumps(setting)):
            raise ValueError(f"expected labels of the same model, oracle and pictures in {self.folder}, got others")
        self.true = dict(zip(self.indices, setting["true"], strict=True))

    def _true(self, index: int) -> int:
        """Class of the true answer."""
        name = self.data.class_names[int(self.data[index][1])]
        return min(self.oracle.labels(reference_answers(name, self.generator.prompt)))

    def extend(self, sigma: float, index: int, total: int) -> None:
        """Draws until a picture has so many labels, or time is up."""
        path = label_file(self.folder, sigma, index)
        labels = read_labels(path)
        image = self.data[index][0]
        while len(labels) < total and time.time() < self.until:
            draws = range(len(labels), min(total, len(labels) + BATCH))
            answers = self.generator.generate(image + gaussian(tuple(image.shape), SEED, index, draws, sigma))
            labels = np.concatenate([labels, np.array(self.oracle.labels(answers), dtype=np.int8)])
            scratch = path.with_suffix(".part.npy")
            np.save(scratch, labels)
            scratch.replace(path)
            self.drawn += len(draws)

    def run(self) -> Iterator[str]:
        """Draws all that is asked for; yields a line per picture and sigma."""
        begun = time.time()
        steps = ((0, self.images), (WIDE, self.images), (DEEP, FIRST), (DEEPEST, FIRST))
        for (more, count), sigma in product(steps, SIGMAS):
            total = PILOT + more
            for index in self.indices[:count]:
                pilot = read_labels(label_file(self.folder, sigma, index))[:PILOT]
                if total > PILOT and (len(pilot) < PILOT or mode(pilot) != self.true[index]):
                    continue
                self.extend(sigma, index, total)
                yield f"{total} at {sigma:g}, {index}: {self.drawn / (time.time() - begun):.1f} a second"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--minutes", type=float, default=30.0, help="stop after so long")
    options = parser.parse_args()
    drawing = Drawing(options.folder, options.images, time.time() + 60 * options.minutes)
    for line in drawing.run():
        print(line, flush=True)


if __name__ == "__main__":
    main()
