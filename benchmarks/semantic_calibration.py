"""Do calibrated semantic certificates keep their rate on pictures? Over thousands of random calibrations on emoji.

    python benchmarks/semantic_calibration.py [--models packaged robust aligned] [--images N] [--changes NAME ...]

Emoji by the unseen artist are shown in the exact steps of the changes of benchmarks/semantic.py. Some images tell the
path's speed and what thresholds are measured in; of the others four fifths calibrate and one fifth is tested, at
random, many times over. Which images do what is drawn anew several times, for one draw may leave easy images or hard
ones to the test. The form with confidence is tried on draws with replacement, for which the rate of all images
is the true one. Three models are compared: the packaged one, after hierarchical fine-tuning, and after the same with
pictures pulled onto the certificates' path (benchmarks/semantic_models.py trains them where they are missing).

Every model and change is a line, appended when it is measured, so that it may be stopped and started at will; it ends
by writing benchmarks/results/semantic_calibration.json and tables into docs/semantic.md. `--tiny` tries it all out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import requote
import semantic_calibration_report
import torch
from machines import machine
from semantic import proxies
from semantic_changes import CHANGES, Change
from semantic_models import ATTACKED, CONFIGURATIONS, accuracy, checkpoint
from semantic_subject import TREE, Subject

from hrvlm.certificates import AffineScorer, clopper_pearson_upper, wording_stability
from hrvlm.certificates.kinds.scorers import LevelScorers
from hrvlm.certificates.kinds.semantic.calibrated_extent import ThresholdScale
from hrvlm.certificates.kinds.semantic.calibrating import CalibrationOptions, Measured, calibrate_claim
from hrvlm.certificates.kinds.semantic.calibration_losses import THRESHOLDS, ShownChange
from hrvlm.certificates.kinds.semantic.speed import PathSpeed
from hrvlm.data.appearance import sequence
from hrvlm.evaluation.shown_features import Encoded, claims_of
from hrvlm.models import inferring
from hrvlm.whole_files import write_whole

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "semantic_calibration.json"
STEPS, SPLITS, CONFIDENCE, CALIBRATES = 9, 2000, 0.9, 0.8
PARTITIONS = 8
"""Random divisions of the images into those that fit, choose, and calibrate or are tested."""
EPOCHS = 4


def allowed(n: int, epsilon: float, confidence: float | None) -> int:
    """The largest number of violations among n images at which a threshold is valid; -1 if there is none."""
    counts = np.arange(n + 1)
    valid = counts + 1 <= epsilon * (n + 1) if confidence is None else _upper(counts, n, confidence) <= epsilon
    return int(valid.sum()) - 1


def _upper(counts: np.ndarray, n: int, confidence: float) -> np.ndarray:
    return np.asarray(clopper_pearson_upper(counts, n, 1 - confidence))


def chosen(critical: np.ndarray, count: int) -> np.ndarray:
    """Positions `(R,)` of the smallest valid thresholds, of critical ones `(R, n)`, with `count` violations allowed.

    Behind the last one where none is valid: then nothing is claimed.
    """
    if count < 0:
        return np.full(len(critical), len(THRESHOLDS))
    return np.sort(critical, axis=1)[:, ::-1][:, count]


def measure(
    critical: np.ndarray, shown: ShownChange, measured: Measured, epsilon: float, splits: int, seed: int
) -> dict[str, Any]:
    """Violation rates `(splits,)` and share of one claim over random splits of one division, and how it is measured."""
    n, rng = int(CALIBRATES * len(critical)), np.random.default_rng([len(critical), int(1000 * epsilon), seed])
    order = rng.permuted(np.tile(np.arange(len(critical)), (splits, 1)), axis=1)
    places = chosen(critical[order[:, :n]], allowed(n, epsilon, None))
    rates = (critical[order[:, n:]] > places[:, None]).mean(axis=1)
    shares = {
        g: shown.share(THRESHOLDS[g], *measured).numpy() if g < len(THRESHOLDS) else np.zeros(len(critical))
        for g in np.unique(places).tolist()
    }
    share = np.mean([shares[g][rest].mean() for g, rest in zip(places.tolist(), order[:, n:], strict=True)])
    drawn = critical[rng.integers(len(critical), size=(splits, len(critical)))]
    confident = chosen(drawn, allowed(len(critical), epsilon, CONFIDENCE))
    true = (critical[None] > confident[:, None]).mean(axis=1)
    return {
        "unit": measured[0].unit, "growth": measured[0].growth, "share": float(share), "rates": rates,
        "confident_failures": float((true > epsilon + 1e-12).mean()),
    }  # fmt: skip


def together(found: list[dict[str, Any]]) -> dict[str, Any]:
    """What `measure` says of one claim over all divisions; of units, what most of them chose."""
    rates, shares = np.concatenate([one["rates"] for one in found]), [one["share"] for one in found]
    unit, growth = Counter((one["unit"], one["growth"]) for one in found).most_common(1)[0][0]
    return {
        "unit": unit, "growth": growth, "share": float(np.mean(shares)),
        "share_error": float(np.std(shares) / np.sqrt(max(1, len(shares) - 1))), "violated": float(rates.mean()),
        "standard_error": float(rates.std() / np.sqrt(len(rates))),
        "confident_failures": float(np.mean([one["confident_failures"] for one in found])),
    }  # fmt: skip


def claims(subject: Subject, change: Change, features: torch.Tensor, splits: int) -> Iterator[dict[str, Any]]:
    """What is measured of one change at every scorer and level, of pictures with features `(N, T, D)`."""
    count, partitions = len(features), min(PARTITIONS, splits)
    shares = torch.linspace(0, 1, STEPS, dtype=torch.float64)[1:].expand(count, STEPS - 1)
    attribute = change.family.attribute(change.word)
    encoded = Encoded(features[:, 0], features[:, 1:], shares, subject.prompts(attribute), [None] * count)
    divided: dict[str, list[dict[str, Any]]] = {}
    scorers = LevelScorers(subject.classifiers)
    for seed in range(partitions):
        options = CalibrationOptions(seed=seed)
        parts = options.parts(count).values()
        split = [claims_of(scorers, attribute, encoded.rows(images)) for images in parts]
        for (claim, fitted), (_, choice), (_, tested) in zip(*split, strict=True):
            calibrated = calibrate_claim(fitted.speed(), choice, tested, options)
            found: dict[str, Any] = {
                "raw_violated": float((tested.critical(ThresholdScale(), PathSpeed()) > 0).double().mean()),
                "raw_share": float(tested.share(0.0, ThresholdScale(), PathSpeed()).mean()),
            }
            for epsilon, (scale, speed, critical) in calibrated.found.items():
                given = (critical.numpy(), tested, (scale, speed), epsilon, splits // partitions, seed)
                found[str(epsilon)] = measure(*given)
            divided.setdefault(f"{claim[0]}/{claim[3]}/{claim[4]}", []).append(found)
    for name, some in divided.items():
        raw = {key: float(np.mean([one[key] for one in some])) for key in ("raw_violated", "raw_share")}
        rates = {str(epsilon): together([one[str(epsilon)] for one in some]) for epsilon in options.epsilons}
        yield {"claim": name, **raw, **rates}


def wording(subject: Subject, change: Change, features: torch.Tensor) -> dict[str, float]:
    """How far other wordings of a change agree, for leaves and cosines."""
    classifier = subject.classifiers["cosine"]
    points = torch.nn.functional.normalize(features.double(), dim=-1)
    scorer = AffineScorer(*classifier.head.affine(points, classifier.text_points(classifier.keys[0])))
    prompts = [subject.prompts(change.family.attribute(change.word, i)) for i in range(len(change.family.templates))]
    stability = wording_stability(scorer, points, prompts)
    others = ~torch.eye(len(prompts), dtype=torch.bool)
    return {"spread": float(stability.spread.mean()), "alignment": float(stability.alignment[others].mean())}


def lines(name: str, path: Path | None, arguments: argparse.Namespace, done: set[Any]) -> Iterator[dict[str, Any]]:
    """What is missing of a model: its accuracy, and each change."""
    wanted = [change for change in CHANGES if change.name in arguments.changes and (name, change.name) not in done]
    if not wanted and (name, None) in done:
        return
    subject = Subject(arguments.images, path)
    if (name, None) not in done:
        found: dict[str, Any] = {"accuracy": accuracy(subject, min(ATTACKED, arguments.images))}
        with inferring(*subject.classifiers.values()):
            yield {"model": name, "change": None, **found, "proxies": proxies(subject)}
    for change in wanted:
        start = time.perf_counter()
        with inferring(*subject.classifiers.values()):
            features = subject.encode(subject.shown(sequence(change.start, change.stop, STEPS)))
            encoding = time.perf_counter() - start
            measured = list(claims(subject, change, features, arguments.splits))
            told = wording(subject, change, features[:, 0])
        print(f"{name}, {change.name}: encoded in {encoding:.0f} s, {time.perf_counter() - start:.0f} s", flush=True)
        yield {"model": name, "change": change.name, "claims": measured, "wording": told}


def measured_lines(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """All lines, former ones and those that are measured now."""
    rows = arguments.folder / f"rows_{arguments.images}_{arguments.splits}_{PARTITIONS}_{arguments.epochs}.jsonl"
    rows.parent.mkdir(parents=True, exist_ok=True)
    known = rows.read_text(encoding="utf-8") if rows.is_file() else ""
    whole = known[: known.rfind("\n") + 1]  # less a line that was cut off
    if whole != known:
        write_whole(rows, whole)
    found = [json.loads(text) for text in whole.splitlines()]
    done = {(line["model"], line["change"]) for line in found}
    with rows.open("a", encoding="utf-8") as file:
        for name in arguments.models:
            path = checkpoint(name, arguments.folder, arguments.epochs, arguments.batches)
            for line in lines(name, path, arguments, done):
                file.write(json.dumps(line) + "\n")
                file.flush()
                found.append(line)
    return found


def result_of(found: list[dict[str, Any]], arguments: argparse.Namespace) -> dict[str, Any]:
    """The contents of the result file."""
    models: dict[str, dict[str, Any]] = {}
    for line in found:
        model = models.setdefault(line["model"], {"changes": {}, "wording": {}})
        if line["change"] is None:
            model |= {"accuracy": line["accuracy"], "proxies": line["proxies"]}
        else:
            model["changes"][line["change"]] = line["claims"]
            model["wording"][line["change"]] = line["wording"]
    setting = {name: getattr(arguments, name) for name in ("images", "splits", "epochs")}
    setting |= {"steps": STEPS, "confidence": CONFIDENCE, "calibrates": CALIBRATES, "tree": TREE}
    setting["partitions"] = PARTITIONS
    return {"setting": setting, "machine": machine(), "models": models}


def main() -> None:
    """Measures what is missing, and writes result and tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(CONFIGURATIONS), choices=list(CONFIGURATIONS))
    parser.add_argument("--images", type=int, default=501)
    parser.add_argument("--splits", type=int, default=SPLITS)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of fine-tuning")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "semantic_calibration", help="of lines and runs")
    parser.add_argument("--tiny", action="store_true", help="a minute of everything, which writes no result")
    names = [change.name for change in CHANGES]
    parser.add_argument("--changes", nargs="+", default=names, choices=names, metavar="NAME", help="some by name")
    arguments = parser.parse_args()
    arguments.batches = 1 if arguments.tiny else None
    if arguments.tiny:
        arguments.images, arguments.splits, arguments.epochs = 60, 50, 1
        arguments.folder, arguments.changes = arguments.folder.with_name("tiny_calibration"), arguments.changes[-1:]
    result = result_of(measured_lines(arguments), arguments)
    if arguments.tiny:
        print("\n".join(semantic_calibration_report.tables(result)))
    else:
        write_whole(RESULT, json.dumps(result, indent=1) + "\n")
        requote.main()


if __name__ == "__main__":
    main()
