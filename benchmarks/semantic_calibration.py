"""Do calibrated semantic certificates keep their rate on pictures? Over thousands of random calibrations on emoji.

    python benchmarks/semantic_calibration.py [--images N] [--changes NAME ...]

Emoji by the unseen artist are shown in the exact steps of the changes of benchmarks/semantic.py. Some images choose
what thresholds are measured in and the path's speed; of the others half calibrates and half is tested, at random, many
times over. The form with confidence is tried on draws with replacement, for which the rate of all images is the true
one. It ends by writing benchmarks/results/semantic_calibration.json and a table into docs/semantic.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from semantic import TREE, Subject
from semantic_changes import CHANGES

from hrvlm.certificates import clopper_pearson_upper
from hrvlm.certificates.kinds.semantic.calibrated_extent import ThresholdScale
from hrvlm.certificates.kinds.semantic.calibrating import CalibrationOptions, calibrate_claim
from hrvlm.certificates.kinds.semantic.calibration_losses import THRESHOLDS, ShownChange
from hrvlm.certificates.kinds.semantic.speed import PathSpeed
from hrvlm.data.appearance import sequence
from hrvlm.evaluation.shown_features import Encoded, claims_of
from hrvlm.models import inferring
from hrvlm.whole_files import write_whole

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "semantic_calibration.json"
DOCUMENT = ROOT / "docs" / "semantic.md"
MARK = "<!-- calibration measured -->"
STEPS, SPLITS, CONFIDENCE = 9, 2000, 0.9


def allowed(n: int, epsilon: float, confidence: float | None) -> int:
    """The largest number of violations among n images at which a threshold is valid; -1 if there is none."""
    counts = np.arange(n + 1)
    valid = counts + 1 <= epsilon * (n + 1) if confidence is None else _upper(counts, n, confidence) <= epsilon
    return int(valid.sum()) - 1


def _upper(counts: np.ndarray, n: int, confidence: float) -> np.ndarray:
    return np.asarray(clopper_pearson_upper(counts, n, 1 - confidence))


def chosen(critical: np.ndarray, count: int) -> np.ndarray:
    """Positions `(R,)` of the smallest valid thresholds, of critical ones `(R, n)`, with `count` violations allowed."""
    return np.sort(critical, axis=1)[:, ::-1][:, count]


def measure(critical: np.ndarray, shown: ShownChange, chosen_by: tuple[ThresholdScale, PathSpeed], epsilon: float,
            rng: np.random.Generator) -> dict[str, Any]:  # fmt: skip
    """Violation rates and shares of one claim over random splits."""
    n = len(critical) // 2
    order = rng.permuted(np.tile(np.arange(len(critical)), (SPLITS, 1)), axis=1)
    places = chosen(critical[order[:, :n]], allowed(n, epsilon, None))
    tested = critical[order[:, n:]]
    rates = (tested > places[:, None]).mean(axis=1)
    shares = {g: shown.share(THRESHOLDS[g], *chosen_by).numpy() for g in np.unique(places).tolist()}
    share = np.mean([shares[g][rest].mean() for g, rest in zip(places.tolist(), order[:, n:], strict=True)])
    drawn = critical[rng.integers(len(critical), size=(SPLITS, len(critical)))]
    confident = chosen(drawn, allowed(len(critical), epsilon, CONFIDENCE))
    true = (critical[None] > confident[:, None]).mean(axis=1)
    return {
        "unit": chosen_by[0].unit, "growth": chosen_by[0].growth, "share": float(share),
        "violated": float(rates.mean()), "standard_error": float(rates.std() / np.sqrt(SPLITS)),
        "confident_failures": float((true > epsilon + 1e-12).mean()),
    }  # fmt: skip


def claims(subject: Subject, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of every change, scorer and level."""
    options = CalibrationOptions()
    count = len(subject.indices)
    parts = options.parts(count)
    early = torch.cat([parts["fit"], parts["choice"]])
    rest = torch.tensor(sorted(set(range(count)) - set(early.tolist())))
    for change in (change for change in CHANGES if change.name in names):
        start = time.perf_counter()
        pictures = subject.encode(subject.shown(sequence(change.start, change.stop, STEPS)))
        encoding = time.perf_counter() - start
        shares = torch.linspace(0, 1, STEPS, dtype=torch.float64)[1:].expand(count, STEPS - 1)
        attribute = change.family.attribute(change.word)
        encoded = Encoded(pictures[:, 0], pictures[:, 1:], shares, subject.prompts(attribute), [None] * count)
        split = [claims_of(subject.classifiers, attribute, encoded.rows(images)) for images in (*parts.values(), rest)]
        for (claim, fitted), (_, choice), (_, _), (_, tested) in zip(*split, strict=True):
            calibrated = calibrate_claim(fitted.speed(), choice, tested, options)
            raw = float((tested.critical(ThresholdScale(), PathSpeed()) > 0).double().mean())
            found: dict[str, Any] = {"raw_share": float(tested.share(0.0, ThresholdScale(), PathSpeed()).mean())}
            for epsilon, (scale, speed, critical) in calibrated.found.items():
                rng = np.random.default_rng([len(critical), int(1000 * epsilon)])
                found[str(epsilon)] = measure(critical.numpy(), tested, (scale, speed), epsilon, rng)
            name = f"{claim[0]}/{claim[3]}/{claim[4]}"
            yield change.name, {"claim": name, "raw_violated": raw, **found}
        print(f"{change.name}: encoded in {encoding:.0f} s, {time.perf_counter() - start:.0f} s", flush=True)


def main() -> None:
    """Measures all changes and writes result and table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=501)
    parser.add_argument(
        "--changes", nargs="+", default=[change.name for change in CHANGES], help="some of them by name"
    )
    arguments = parser.parse_args()
    subject = Subject(arguments.images)
    changes: dict[str, list[dict[str, Any]]] = {}
    with inferring(*subject.classifiers.values()):
        for name, found in claims(subject, arguments.changes):
            changes.setdefault(name, []).append(found)
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    setting = {"images": arguments.images, "splits": SPLITS, "steps": STEPS, "confidence": CONFIDENCE, "tree": TREE}
    result = {"setting": setting, "machine": machine, "changes": changes}
    write_whole(RESULT, json.dumps(result, indent=1) + "\n")
    write_table(result)


def table(result: dict[str, Any], claim: str) -> list[str]:
    """Rows per change: what is claimed and violated, raw and at each rate."""
    head = "| change | raw: share / violated | epsilon .05 | epsilon .1 | epsilon .2 |"
    lines = [head, "| --- | --- | --- | --- | --- |"]
    for name, claims in result["changes"].items():
        found = next(entry for entry in claims if entry["claim"] == claim)
        cells = [f"{found['raw_share']:.3f} / {found['raw_violated']:.3f}"]
        cells += [f"{found[e]['share']:.3f} / {found[e]['violated']:.3f}" for e in ("0.05", "0.1", "0.2")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def write_table(result: dict[str, Any]) -> None:
    """The leaf level, cosines, in docs/semantic.md."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, after = text.split(MARK)
    setting = result["setting"]
    words = (
        "Share of the change that is claimed / images whose claim a picture contradicts; cosine, emoji, "
        f"{setting['images']} images, {setting['splits']:,} random calibrations:"
    )
    leaf = result["changes"]["size: small"][0]["claim"]
    write_whole(DOCUMENT, f"{before}{MARK}\n\n{words}\n\n" + "\n".join(table(result, leaf)) + f"\n\n{MARK}{after}")


if __name__ == "__main__":
    main()
