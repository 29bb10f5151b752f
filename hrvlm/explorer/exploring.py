"""What a user of the explorer looks at: a picture and classes, and what is computed of them; knows no interface."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock

from torch import Tensor

from hrvlm.attacks.threat_model import ThreatModel
from hrvlm.explorer.attacks import Attacked, attack_picture
from hrvlm.explorer.extents import EmbeddedPicture, LevelExtent
from hrvlm.explorer.inputs import classifier_of, forest_of, packaged_names, packaged_picture, picture_of
from hrvlm.explorer.votes import Vote, growing_vote, vote_plan
from hrvlm.models import HierarchicalClassifier, LoadedModel

KEPT = 4
"""Classifiers of different classes that are kept."""
NAMES = "cat, dog, bird, fish, flower, tree, car, boat, house"


@dataclass(frozen=True, kw_only=True)
class Start:
    """What the explorer shows first.

    Attributes:
        trees: Trees over the same leaves; none for the class names.
        classes: Class names with commas between them.
        picture: Name of a packaged picture.
        source: Prompt without the change, with "{}" for the class.
        target: Prompt with it.
        sigma: Noise of the vote, in pixel units.
        n: Samples of the vote.
        alpha: Its error probability.
        eps: Budget of the attack, in 255ths.
        steps: Of the attack.
    """

    trees: list[str] = field(default_factory=list)
    classes: str = NAMES
    picture: str = "fox"
    source: str = "a picture of a {}"
    target: str = "a picture of a {} on a blue background"
    sigma: float = 0.1
    n: int = 500
    alpha: float = 0.01
    eps: float = 4.0
    steps: int = 20

    def __post_init__(self) -> None:
        vote_plan(sigma=self.sigma, n=self.n, alpha=self.alpha)
        ThreatModel("linf", self.eps / 255)
        if self.picture not in packaged_names():
            packaged_picture(self.picture)


class SharedModel:
    """A model that several pages explore, one computation at a time.

    Args:
        loaded: The model with its head.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded, self.lock = loaded, Lock()
        self._classifier = lru_cache(maxsize=KEPT)(self._made)

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.loaded.model.name

    @property
    def image_size(self) -> int:
        """Side of pictures that are opened, in pixels."""
        return self.loaded.model.image_size[0]

    def classifier(self, names: str, trees: Sequence[str]) -> HierarchicalClassifier:
        """The classifiers over some classes; see `inputs.forest_of`."""
        return self._classifier("" if trees else names, tuple(trees))

    def _made(self, names: str, trees: tuple[str, ...]) -> HierarchicalClassifier:
        with self.lock:
            return classifier_of(self.loaded, forest_of(names, list(trees), self.loaded.classes))


class Chosen:
    """A picture and classes, and what is computed of them; stays what it is when others are chosen.

    Args:
        shared: The model.
        image: (3, H, W) in [0, 1].
        classifier: Classifiers of every level.
    """

    def __init__(self, shared: SharedModel, image: Tensor, classifier: HierarchicalClassifier) -> None:
        self.image, self._classifier, self._lock = image, classifier, shared.lock
        with self._lock:
            self._embedded = EmbeddedPicture(classifier, image)

    @property
    def levels(self) -> list[str]:
        """Names of the levels."""
        return [self._classifier.name(key) for key in self._classifier.keys]

    def predictions(self) -> dict[str, str]:
        """See `extents.EmbeddedPicture.predictions`."""
        with self._lock:
            return self._embedded.predictions()

    def extents(self, source: str, target: str) -> dict[str, list[LevelExtent]]:
        """See `extents.EmbeddedPicture.extents`."""
        with self._lock:
            return self._embedded.extents(source, target)

    def votes(self, *, sigma: float, n: int, alpha: float) -> Iterator[Vote]:
        """See `votes.growing_vote`; others may compute between two votes."""
        found = growing_vote(self._classifier, self.image, vote_plan(sigma=sigma, n=n, alpha=alpha))
        while True:
            with self._lock:
                vote = next(found, None)
            if vote is None:
                return
            yield vote

    def attack(self, level: str, *, norm: str, eps: float, steps: int) -> Attacked:
        """See `attacks.attack_picture`; eps in 255ths for linf, in pixel units for l2."""
        keys = dict(zip(self.levels, self._classifier.keys, strict=True))
        if level not in keys:
            raise ValueError(f"expected a level of {', '.join(keys)}, got {level!r}")
        threat_model = ThreatModel(norm, eps / 255 if norm == "linf" else eps)  # type: ignore[arg-type]  # it checks
        with self._lock:
            return attack_picture(self._classifier, self.image, keys[level], threat_model, steps)


class Exploration:
    """What one page looks at.

    Args:
        shared: The model.
    """

    def __init__(self, shared: SharedModel) -> None:
        self._shared = shared
        self._picture: Tensor | None = None
        self._chosen: Chosen | None = None

    def open(self, content: bytes) -> None:
        """Takes a picture file; see `inputs.picture_of`."""
        self._picture = picture_of(content, self._shared.image_size)

    def take(self, name: str) -> None:
        """Takes a packaged picture; see `inputs.packaged_picture`."""
        self._picture = packaged_picture(name)

    def choose(self, names: str, trees: Sequence[str]) -> dict[str, str]:
        """Asks about classes or trees; what every level says of the picture.

        Raises:
            ValueError: If there is no picture, or no such classes.
        """
        if self._picture is None:
            raise ValueError("expected a picture, got none: choose one")
        chosen = Chosen(self._shared, self._picture, self._shared.classifier(names, trees))
        found = chosen.predictions()
        self._chosen = chosen
        return found

    def forget(self) -> None:
        """Leaves what was chosen, where something else was asked for and is not to be had."""
        self._chosen = None

    def looks_at(self, chosen: Chosen) -> bool:
        """Whether this is still what was chosen last."""
        return self._chosen is chosen

    @property
    def chosen(self) -> Chosen:
        """Picture and classes.

        Raises:
            ValueError: If there are none.
        """
        if self._chosen is None:
            raise ValueError("expected a picture and classes, got none yet: choose them")
        return self._chosen
