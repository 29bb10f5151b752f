"""Certificates of new prompts, trees, planes or levels from cached noisy features, without the image tower."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hrvlm.certificates.kinds.registry import record_at, record_key
from hrvlm.certificates.noise.gaussian import SCHEME
from hrvlm.certificates.run.images import certify_images, check_scorers, count_passes
from hrvlm.certificates.run.label_functions import LabelFunction, label_functions, passes
from hrvlm.certificates.run.ledger import LEDGER_LOCK, Ledger
from hrvlm.certificates.run.plan import CertificationPlan, check_draws
from hrvlm.certificates.sampling.feature_store import FeatureStore
from hrvlm.data.references import TargetPictures, pictures_identity
from hrvlm.evaluation.certification import finish
from hrvlm.evaluation.feature_cache import noise_settings
from hrvlm.evaluation.folders import Output, opened_folder
from hrvlm.evaluation.progress import following
from hrvlm.evaluation.subject import Subject, data_identity, identity, load_subject
from hrvlm.models import Checkpoint, HierarchicalClassifier
from hrvlm.rows.locking import held
from hrvlm.rows.record import FunctionsChosen
from hrvlm.rows.shards import ShardWriter, merge_shards, run_keys


@dataclass(frozen=True, kw_only=True)
class RecertificationSettings(Subject):
    """What is certified again, besides features and checkpoint.

    Attributes:
        data: Data module whose split is certified, or any pictures by one text; as when the features were made.
        trees: Tree files over the classes; they may be others than then. None for one level.
        split: Split of the data; the validation split of a data module if null.
        num_levels: Cuts every tree to at most this many levels.
        source: How the data are opened, and what they are sorted into.
        device: For example "cuda" or "cpu".
        plan: Which certificates of which images; noise and numbers of samples as when the features were made.
        chosen: Whether prompts, trees, levels, profile radii, planes, procedure and alpha were fixed "before" any
            result on this noise was seen, or "after". If null: as noted when they were first scored; else "after" where
            any results exist.
    """

    plan: CertificationPlan = field(default_factory=CertificationPlan)
    chosen: FunctionsChosen | None = None


def recertify(
    features: Path, checkpoint: Checkpoint | str, settings: RecertificationSettings, output: Output
) -> list[str]:
    """Certifies from cached features and writes rows and summary.

    Args:
        features: Folder of `certify.py run --features`.
        checkpoint: The one that the features were made with.
        settings: Data, trees and plan.
        output: Where results go.

    Returns:
        Sentences that a reader of the summary must know about alpha.

    Raises:
        ValueError: If features, checkpoint, trees, data and plan do not fit each other.
    """
    store = FeatureStore.load(features)
    classifier, data = load_subject(checkpoint, settings)
    _check(store, classifier, data, settings)
    with ExitStack() as folders:
        with held(store.folder / LEDGER_LOCK):  # from a look at what was scored before until this is noted
            ledger, functions = _declared(store, classifier, settings)
            plan = replace(settings.plan, sampling=functions[0].plan.sampling)
            depends_on = _depends_on(classifier, data, plan, settings.split)
            chosen = {function.spends: function.plan.sampling.functions_chosen for function in functions}
            noted = {**output.notes, "functions_chosen": chosen}
            path = folders.enter_context(opened_folder(output.folder, "run", depends_on, noted))
            for function in functions:
                sampling = function.plan.sampling
                ledger.note(function.digest, sampling.functions_chosen, sampling.label_functions, function.spends)
        _score(store, classifier, data, plan, functions, path)
        merge_shards(path, record_key, record_at)
        finish(path, output, plan)
    return _remarks(ledger, functions)


def _declared(
    store: FeatureStore, classifier: HierarchicalClassifier, settings: RecertificationSettings
) -> tuple[Ledger, list[LabelFunction]]:
    ledger, found = Ledger(store), label_functions(classifier, settings.plan)
    return ledger, [function.declared(ledger.chosen(function.digest, settings.chosen)) for function in found]


def _depends_on(
    classifier: HierarchicalClassifier, data: Any, plan: CertificationPlan, split: str | None
) -> dict[str, Any]:
    depends_on = plan.identity()
    depends_on |= {**identity(classifier, split), **data_identity(data), **pictures_identity(plan.attributes)}
    return depends_on | {"random_numbers": SCHEME}


def _score(
    store: FeatureStore,
    classifier: HierarchicalClassifier,
    data: Any,
    plan: CertificationPlan,
    functions: Sequence[LabelFunction],
    path: Path,
) -> None:
    """Adds the rows that are not there yet."""
    indices, done, plans = plan.indices(len(data)), run_keys(path, record_key, record_at), passes(functions, plan)
    total = sum(count_passes(some, len(indices)) for some in plans)
    with ShardWriter(path, 0) as writer, following("scoring again", total) as bar:
        given: dict[str, Any] = {"done": done, "kept": store, "references": TargetPictures(data)}
        given["progress"] = bar.advance
        for some in plans:
            for records in certify_images(classifier, data, indices, some, **given):
                writer.write(records)


def _check(
    store: FeatureStore, classifier: HierarchicalClassifier, data: Any, settings: RecertificationSettings
) -> None:
    check_scorers(classifier, settings.plan)
    given = noise_settings(settings.plan, classifier, data, settings.split)
    changed = sorted(name for name, value in given.items() if store.settings.get(name) != value)
    if changed:
        text = ", ".join(f"{name}={store.settings.get(name)!r}" for name in changed)
        raise ValueError(f"expected what the features in {store.folder} were made with ({text}), got something else")
    check_draws(store, settings.plan)


def _remarks(ledger: Ledger, functions: Sequence[LabelFunction]) -> list[str]:
    """What a reader of the summary must know about alpha, in sentences."""
    late = [function.spends for function in functions if function.plan.sampling.functions_chosen == "after"]
    if late:
        rows = "these rows" if len(late) == len(functions) else f"these rows ({', '.join(late)})"
        return [
            "Prompts, trees, levels, profile radii, planes, procedure or alpha chosen after results on this noise had "
            f"been seen: alpha does not cover {rows}. Certify them with features of another seed; or give --chosen "
            "before if they were fixed before."
        ]
    if ledger.overspent:
        return [
            f"{ledger.overspent} label functions of one alpha have been scored on this noise: each row holds alone, at "
            "its alpha; for all of them together set plan.sampling.label_functions to their number in every run."
        ]
    return []
