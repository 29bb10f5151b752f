"""Certificates of classifiers over images."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch

from hrvlm.certificates.kinds.semantic.calibration import read_calibration
from hrvlm.certificates.noise.gaussian import SCHEME
from hrvlm.certificates.run.images import certify_images, check_scorers, count_passes
from hrvlm.certificates.sampling.feature_store import FeatureStore
from hrvlm.data.reading_ahead import ReadAhead
from hrvlm.data.references import TargetPictures, pictures_identity
from hrvlm.evaluation.feature_cache import open_store
from hrvlm.evaluation.folders import LOCK
from hrvlm.evaluation.settings import CertificationSettings
from hrvlm.evaluation.subject import data_identity, identity, load_subject
from hrvlm.models import Checkpoint
from hrvlm.models.denoisers import removed_sigma
from hrvlm.models.descriptions import NOISE_KEY, noted_noise, told_noise
from hrvlm.rows.locking import held
from hrvlm.rows.record import Key, Record
from hrvlm.whole_files import check_place, path_of


class ClassifierWork:
    """Certificates of the classifiers of every level; see `work.Work`.

    Raises:
        ValueError: If checkpoint, trees, data or device do not fit each other.
    """

    def __init__(self, checkpoint: Checkpoint | str, settings: CertificationSettings, device: torch.device) -> None:
        self.classifier, self.data = load_subject(checkpoint, settings, device)
        self.settings, self.plan = settings, settings.plan
        check_scorers(self.classifier, self.plan)
        shared = {**identity(self.classifier, settings.split), **data_identity(self.data)}
        self.depends_on = shared | settings.plan.identity()
        self.depends_on |= pictures_identity(self.plan.attributes) | {"random_numbers": SCHEME}

    def open_store(self, folders: ExitStack) -> FeatureStore | None:
        """See `Work`."""
        if self.settings.features is None:
            return None
        check_place(path_of(self.settings.features))
        folders.enter_context(held(Path(self.settings.features) / LOCK))
        return open_store(self.settings.features, self.plan, self.classifier, self.data, self.settings.split)

    def count(self, num_images: int) -> int:
        """See `Work`."""
        return count_passes(self.plan, num_images)

    def records(
        self, indices: list[int], done: set[Key], progress: Callable[[int], None], store: FeatureStore | None
    ) -> Iterator[Sequence[Record]]:
        """See `Work`."""
        given: dict[str, Any] = {"done": done, "progress": progress, "store": store}
        given["ahead"] = partial(ReadAhead, self.data, num_workers=self.settings.num_workers)
        return certify_images(
            self.classifier, self.data, indices, self.plan, references=TargetPictures(self.data), **given
        )

    def remarks(self) -> list[str]:
        """Sentences on images of the calibration itself, and on another sigma than model or denoiser were made for."""
        model, sigma, found = self.classifier.model, self.plan.sigma, self._calibrated_on()
        if not self.plan.smoothing and self.plan.profile is None:
            return found
        noise = noted_noise(model.config).get(NOISE_KEY)
        if noise and sigma != noise["sigma"] and not (noise["mode"] == "uniform" and sigma < noise["sigma"]):
            found.append(f"certified at sigma {sigma:g} a model trained under {told_noise(model.config)}")
        denoised = removed_sigma(model)
        if denoised not in (None, sigma):
            found.append(f"certified at sigma {sigma:g} behind a denoiser that takes off noise of {denoised:g}")
        return found

    def _calibrated_on(self) -> list[str]:
        """A sentence where semantic certificates are calibrated on images of the same data."""
        if self.plan.calibration is None:
            return []
        known = read_calibration(self.plan.calibration).pictures
        data = {"split": self.settings.split, **data_identity(self.data)}
        same = all(known.get(name) == value for name, value in json.loads(json.dumps(data)).items())
        return ["certified on images of the calibration itself: its rates are promised of other images"] * same
