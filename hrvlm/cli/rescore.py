"""`certify.py rescore`: certificates of new prompts, trees or levels from kept features, without the image tower."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.progress import Progress

from hrvlm.certificates.feature_store import FeatureStore
from hrvlm.certificates.images import CertificationPlan, certify_images, count_passes
from hrvlm.certificates.parts import PartWriter, check_unused, merge_parts, run_keys
from hrvlm.certificates.record_base import FunctionsChosen
from hrvlm.certificates.rescoring import Ledger, function_of
from hrvlm.cli.evaluating import Subject, data_identity, identity, load_subject, open_folder, subject_parser
from hrvlm.cli.keeping import noise_settings
from hrvlm.cli.run import FREE, finish
from hrvlm.data.references import TargetPictures, pictures_identity
from hrvlm.models import HierarchicalClassifier


@dataclass(frozen=True, kw_only=True)
class Rescore(Subject):
    """What `certify.py rescore` needs besides features, checkpoint and output.

    Attributes:
        data: Data module whose split is certified, as when the features were made.
        trees: Tree files over the data's classes; they may be others than then.
        split: Split of the data module; its validation split if null.
        num_levels: Cuts every tree to at most this many levels.
        device: For example "cuda" or "cpu".
        plan: Which certificates of which images; noise and numbers of samples as when the features were made.
        chosen: Whether prompts, trees and levels were fixed "before" any result on this noise was seen, or "after". If
            null: as noted when they were first scored; else "after" where any results exist.
    """

    plan: CertificationPlan = field(default_factory=CertificationPlan)
    chosen: FunctionsChosen | None = None


def add_parser(subparsers: Any) -> None:
    """Adds the command `rescore` to the subcommands of a parser of jsonargparse."""
    parser = subject_parser(Rescore, "Certifies new prompts, trees or levels from kept features.")
    parser.add_argument("--features", required=True, help="folder that certify.py run --features has filled")
    subparsers.add_subcommand("rescore", parser)


def rescore(
    features: Path, checkpoint: str, settings: Rescore, output: Path, notes: Mapping[str, Any] | None = None
) -> None:
    """Certifies from kept features and writes rows and summary.

    Args:
        features: Folder of `certify.py run --features`.
        checkpoint: The one that the features were made with.
        settings: Data, trees and plan.
        output: Folder of the results; rows that it holds already are kept and not made again.
        notes: What `settings.json` shall hold besides what rows depend on.

    Raises:
        ValueError: If features, checkpoint, trees, data and plan do not fit each other.
    """
    store = FeatureStore.load(features)
    classifier, data = load_subject(checkpoint, settings)
    _check(store, classifier, data, settings)
    function, ledger = function_of(classifier), Ledger(store)
    chosen = ledger.chosen(function, settings.chosen)
    plan = replace(settings.plan, sampling=replace(settings.plan.sampling, functions_chosen=chosen))
    depends_on = {name: value for name, value in asdict(plan).items() if name not in FREE}
    depends_on |= {**identity(classifier, settings.split), **data_identity(data), **pictures_identity(plan.attributes)}
    path = open_folder(output, "run", depends_on, dict(notes or {}))
    check_unused(path)
    ledger.note(function, chosen, plan.sampling.label_functions)
    indices, done = plan.indices(len(data)), run_keys(path)
    with PartWriter(path, 0) as writer, Progress(transient=True) as bar:
        task = bar.add_task("scoring again", total=count_passes(plan, len(indices)))
        for records in certify_images(
            classifier, data, indices, plan, done=done, progress=lambda n: bar.advance(task, n), kept=store,
            references=TargetPictures(data),
        ):  # fmt: skip
            writer.write(records)
    merge_parts(path)
    finish(path, output, plan)
    for sentence in _remarks(ledger, plan):
        print(sentence)


def _check(store: FeatureStore, classifier: HierarchicalClassifier, data: Any, settings: Rescore) -> None:
    given = noise_settings(settings.plan, classifier, data, settings.split)
    changed = sorted(name for name, value in given.items() if store.settings.get(name) != value)
    if changed:
        text = ", ".join(f"{name}={store.settings.get(name)!r}" for name in changed)
        raise ValueError(f"expected what the features in {store.folder} were made with ({text}), got something else")
    needed = settings.plan.smoothing_plan().estimation.stop
    if needed > store.draws:
        raise ValueError(
            f"expected a procedure of at most the {store.draws} draws kept of each image, got one of {needed}"
        )


def _remarks(ledger: Ledger, plan: CertificationPlan) -> list[str]:
    """What a reader of the summary must know about alpha."""
    if plan.sampling.functions_chosen == "after":
        return [
            "Prompts, trees or levels chosen after results on this noise had been seen: alpha does not cover these "
            "rows. Certify them with features of another seed; or give --chosen before if they were fixed in advance."
        ]
    if ledger.overspent:
        return [
            f"{len(ledger.entries)} label functions have been scored on this noise: each row holds alone, at its "
            "alpha; for all of them together set plan.sampling.label_functions to their number in every run."
        ]
    return []
