"""What calibration costs: of 13 changes, 6 levels and 2 scorers on 500 images, and of a run that rests on one.

    python benchmarks/calibration_cost.py [--images N] [--changes N] [--certified N] [--turns N] [--commands N]

Calibrating is timed without the encoding of pictures, which any measurement on them needs, and without the reading of
model and data. Certifying with and without the calibration takes turns in one process, image by image (A B, B A, ...):
image tower, semantic rows of the changes at all levels and scorers, and the writing of rows. The ratio is that of the
medians over images, in processor time, for other work may share the machine, as `load_before` tells; `ratio_of_runs` is
that of whole runs, with what each does once. `commands` are processes, `certify.py run` from its start to its page,
without and with the calibration in turns: as it comes, with 288 noisy copies an image for smoothing, and with semantic
rows alone. Writes benchmarks/results/calibration_cost.json.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from machines import machine
from semantic_changes import CHANGES
from semantic_subject import untrained_ball

import hrvlm
from hrvlm.certificates import RecordWriter
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.kinds.semantic.calibrating import CalibrationOptions, statements_of
from hrvlm.certificates.kinds.semantic.calibration import CalibratedChange, Calibration
from hrvlm.certificates.run.images import certify_images
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.data import Appearance
from hrvlm.data.emoji_pack.datamodule import EmojiDataModule
from hrvlm.evaluation.calibration import calibrated_claims
from hrvlm.evaluation.calibration_settings import CalibrationPlan, CalibrationSettings
from hrvlm.evaluation.shown_features import Encoded, ShownImages
from hrvlm.evaluation.subject import identity
from hrvlm.models import HierarchicalClassifier, cosine_head, inference_copy, inferring
from hrvlm.models.export import export_model
from hrvlm.training.pictured_changes import AppearanceSequence
from hrvlm.trees import load_forest
from hrvlm.whole_files import write_whole

RESULT = Path(__file__).parent / "results" / "calibration_cost.json"
TREES = ["trees/emoji_unicode.yaml", "trees/emoji_wordnet.yaml"]
STEPS = 9
TARGETS = {"calibrating_seconds": 120.0, "certifying_ratio": 1.1}


class EncodedImages(ShownImages):
    """Images whose pictures were encoded before."""

    known: dict[str, Encoded]

    def encoded(self, change: Attribute) -> Encoded:
        """A change of all images."""
        return self.known[change.name]


def settings(images: int, changes: int) -> CalibrationSettings:
    """Emoji by the unseen artist, all levels of two trees."""
    some = CHANGES[-changes:]
    plan = CalibrationPlan(
        population="emoji by an artist whom the model has not seen",
        attributes=[change.family.attribute(change.word) for change in some],
        sequences={
            change.name: AppearanceSequence(stop=_settings(change.stop), start=_settings(change.start), steps=STEPS)
            for change in some
        },
        num_images=images,
        options=CalibrationOptions(),
    )
    return CalibrationSettings(data=EmojiDataModule(), trees=TREES, split="unseen_artist", plan=plan)


def _settings(appearance: Appearance) -> dict[str, Any]:
    return {name: value for name, value in vars(appearance).items() if value != getattr(Appearance(), name)}


def with_ball(shown: ShownImages) -> HierarchicalClassifier:
    """The model with an untrained hyperbolic head, which is certified beside plain cosines."""
    model, forest = shown.classifier.model, shown.classifier.forest
    tree = max(forest, key=lambda each: len(each.levels))
    return HierarchicalClassifier(model, untrained_ball(model, tree, shown.features), forest)


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What work returns, with its seconds on the clock and of the processor."""
    start, used = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - start, time.process_time() - used


def calibrated(shown: ShownImages, given: CalibrationSettings) -> Calibration:
    """Thresholds of all claims, of pictures that are encoded."""
    claims, groups, parts = calibrated_claims(shown, given)
    known, options = identity(shown.classifier, given.split), given.plan.options
    changes = tuple(
        CalibratedChange(name=c.name, source=c.source, target=c.target, target_kind=c.target_kind)
        for c in given.plan.changes()
    )
    statements = tuple(statements_of(claims, groups, options))
    return Calibration(
        population=given.plan.population, weights=known["weights"], trees=tuple(known["trees"]), changes=changes,
        pictures={}, parts=parts, statements=statements,
    )  # fmt: skip


def certifying(
    shown: ShownImages, plan: CertificationPlan, images: list[int], file: Path
) -> Iterator[tuple[float, float]]:
    """Certifies images one by one and writes their rows: seconds of each, on the clock and of the processor.

    What a run does once, such as reading the calibration and summing up weights, counts to its first image.
    """
    with RecordWriter(file) as writer:
        found = certify_images(shown.classifier, shown.data, images, plan)
        for _ in images:
            yield timed(lambda: writer.write(next(found)))[1:]
        file.unlink()


def compared(shown: ShownImages, calibration: Calibration, given: CalibrationSettings, images: int,
             turns: int) -> dict[str, Any]:  # fmt: skip
    """Seconds of certifying some images without and with the calibration, each image in turns."""
    indices = shown.indices[:images]
    images = len(indices)  # fewer may be calibrated on
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "calibration.json"
        calibration.write(file)
        raw = CertificationPlan(smoothing=False, attributes=given.plan.changes())
        plans = {"raw": raw, "calibrated": replace(raw, calibration=str(file))}
        for _ in certifying(shown, raw, indices, Path(folder) / "first.jsonl"):
            pass  # prompts are embedded, which the later turns find done
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in plans}
        for turn in range(turns):
            runs = {
                name: certifying(shown, plan, indices, Path(folder) / f"{name}.jsonl") for name, plan in plans.items()
            }
            for place in range(images):
                for name in list(runs)[:: -1 if (turn + place) % 2 else 1]:
                    found[name].append(next(runs[name]))
            for run in runs.values():
                next(run, None)
    used = {name: [processor for _, processor in times] for name, times in found.items()}
    return {
        "images": images, "turns": turns,
        "milliseconds": {
            name: {"clock": _median([clock for clock, _ in times]), "processor": _median(used[name]),
                   "first_image": _median(used[name][::images])}
            for name, times in found.items()
        },
        "ratio": round(median(used["calibrated"]) / median(used["raw"]), 4),
        "ratio_of_runs": round(sum(used["calibrated"]) / sum(used["raw"]), 4),
    }  # fmt: skip


def commands(classifier: HierarchicalClassifier, calibration: Calibration, given: CalibrationSettings,
             turns: int) -> dict[str, Any]:  # fmt: skip
    """Processor seconds of `certify.py run`, without and with the calibration: as it comes, and semantic rows alone."""
    library: dict[str, list[str]] = {}
    for change in given.plan.changes():
        family, word = change.name.split(": ")
        library.setdefault(family, []).append(word)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_model(classifier.model, folder / "model", head=classifier.head)
        weights = identity(classifier, given.split)["weights"]  # the copy that is timed above has others
        replace(calibration, weights=weights).write(folder / "calibration.json")
        command = [
            sys.executable, "certify.py", "run", f"--checkpoint={folder / 'model'}", "--data=emoji",
            f"--split={given.split}", f"--trees=[{','.join(TREES)}]", f"--plan.library={json.dumps(library)}",
        ]  # fmt: skip
        few = min(60, given.plan.num_images or 60)
        return {
            "as_it_comes": _paired(command, folder, few, turns),
            "semantic_alone": _paired([*command, "--plan.smoothing=false"], folder, given.plan.num_images, 1),
        }


def _paired(command: list[str], folder: Path, images: int | None, turns: int) -> dict[str, Any]:
    """Processor seconds of a command on some images, without and with the calibration in a folder, in turns."""
    found: dict[str, list[float]] = {"raw": [], "calibrated": []}
    for turn in range(turns):
        for kind in list(found)[:: -1 if turn % 2 else 1]:
            more = [f"--plan.calibration={folder / 'calibration.json'}"] if kind == "calibrated" else []
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            with tempfile.TemporaryDirectory(dir=folder) as output:
                given = [*command, f"--plan.num_images={images}", f"--output={output}/run", *more]
                subprocess.run(given, check=True, stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            found[kind].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {
        "images": images, "turns": turns,
        "processor_seconds": {kind: round(median(used), 1) for kind, used in found.items()},
        "ratio": round(median(b / a for a, b in zip(*found.values(), strict=True)), 4),
    }  # fmt: skip


def _median(seconds: list[float]) -> float:
    return round(1000 * median(seconds), 2)


def main() -> None:
    """Measures both and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--changes", type=int, default=len(CHANGES))
    parser.add_argument("--certified", type=int, default=50)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--commands", type=int, default=3, help="turns of a command as it comes")
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    load_before, given = os.getloadavg()[0], settings(arguments.images, arguments.changes)
    loaded, emoji = hrvlm.load_model("emoji"), EmojiDataModule()
    forest = load_forest(TREES, leaves=emoji.class_ids)
    plain = HierarchicalClassifier(loaded, cosine_head(loaded), forest)
    with inferring(loaded):
        first = ShownImages(plain, emoji.evaluation_set(given.split), given.plan)
        trained = with_ball(first)
        shown = EncodedImages(inference_copy(trained), first.data, given.plan)
        started = time.perf_counter()
        shown.known = {change.name: ShownImages.encoded(shown, change) for change in given.plan.changes()}
        encoding = time.perf_counter() - started
    gc.freeze()  # as commands do with what they import: nobody looks for cycles there in the midst of an image
    calibration, seconds, used = timed(lambda: calibrated(shown, given))
    certified = compared(shown, calibration, given, arguments.certified, arguments.turns)
    whole = commands(trained, calibration, given, arguments.commands)
    result = {
        "targets": TARGETS,
        "machine": machine(), "load_before": round(load_before, 1),
        "calibrating": {
            "images": arguments.images, "changes": arguments.changes, "steps": STEPS,
            "levels": len(shown.classifier.keys), "scorers": 2, "statements": len(calibration.statements),
            "seconds": round(seconds, 1), "processor_seconds": round(used, 1),
            "encoding_seconds_excluded": round(encoding, 1),
        },
        "certifying": certified, "commands": whole,
    }  # fmt: skip
    write_whole(arguments.output, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
