"""Caches of noisy image features, which a run fills and from which others certify again without the image tower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hrvlm.certificates.noise.gaussian import SCHEME
from hrvlm.certificates.run.label_functions import LabelFunction, label_functions
from hrvlm.certificates.run.ledger import LEDGER_LOCK, Ledger
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.certificates.sampling.feature_store import FeatureStore
from hrvlm.certificates.sampling.plan import SamplingOptions
from hrvlm.evaluation.subject import data_identity, identity
from hrvlm.models import HierarchicalClassifier
from hrvlm.rows.locking import held

NOISE = ("sigma", "n0", "n", "seed")


def noise_settings(
    plan: CertificationPlan, classifier: HierarchicalClassifier, data: Any, split: str | None
) -> dict[str, Any]:
    """What noisy features depend on: weights, data and noise."""
    found = identity(classifier, split) | data_identity(data) | {name: getattr(plan, name) for name in NOISE}
    del found["trees"]
    return found | {"noise": plan.sampling.noise, "precision": plan.sampling.precision, "random_numbers": SCHEME}


def open_store(
    folder: str, plan: CertificationPlan, classifier: HierarchicalClassifier, data: Any, split: str | None
) -> FeatureStore:
    """The store for the features of a run, new or with those of the same run; the run's prompts are noted in it.

    Raises:
        ValueError: If it holds others, prompts or trees were others, or the plan draws different numbers of samples for
            different images.
    """
    if plan.sampling.procedure in ("adaptive", "pilot") or not (plan.smoothing or plan.profile is not None):
        raise ValueError(
            "expected smoothing certificates or profiles by a procedure with a fixed number of samples to keep "
            f"features of, got {plan.sampling.procedure!r}: use 'split', 'shared' or 'two bounds'"
        )
    store = FeatureStore(folder, noise_settings(plan, classifier, data, split), plan.smoothing_plan().estimation.stop)
    functions, options = label_functions(classifier, plan), plan.sampling
    with held(store.folder / LEDGER_LOCK):
        _note(Ledger(store), functions, options, folder)
    return store


def _note(ledger: Ledger, functions: Sequence[LabelFunction], options: SamplingOptions, folder: str) -> None:
    if ledger.entries and not all(ledger.knows(function.digest) for function in functions):
        raise ValueError(
            f"expected the prompts, trees, profile, joint planes, procedure and alpha that the features in {folder} "
            "were made with, got others: score them with certify.py recertify, which needs no image tower"
        )
    for function in functions:
        chosen = ledger.chosen(function.digest, options.functions_chosen)
        ledger.note(function.digest, chosen, options.label_functions, function.spends)
