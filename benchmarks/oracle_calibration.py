"""How often the shipped oracles are wrong of the packaged captioner: `python benchmarks/oracle_calibration.py`.

The answers are of pictures that the shipped configurations do not certify, one noisy answer each, drawn as by
`certify.py answers --uncertified true --images 300`.

- Commands: the answers of `configs/certify/calibration/emoji_commands.jsonl`, labelled by reading them.
- Equivalence: pairs of a noisy and a clean answer, drawn twice, with pictures and noise of two seeds. A pilot shows
  the errors at several thresholds, by which threshold and error model were chosen; the second draw counts. Ideally a
  pair is equivalent if it names the same thing, which is read off the grammar of descriptions
  (`hrvlm.generative.captions`): the same noun, whatever its size and background. The oracle takes it for equivalent
  from its threshold on; the error is to take two things for one.

Writes `benchmarks/results/oracle_calibration.json`.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import yaml

from hrvlm.certificates.kinds.oracle.annotation import noisy_answers
from hrvlm.certificates.kinds.oracle.errors import ErrorModel, OracleError
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.data.emoji_pack.datamodule import EmojiDataModule
from hrvlm.data.emoji_pack.pack import all_classes
from hrvlm.evaluation.annotation import AnnotationSettings
from hrvlm.evaluation.answer_options import AnswerOptions, QuestionOptions
from hrvlm.generative import load_generator
from hrvlm.generative.oracles import CommandOracle, EquivalenceOracle, SentenceEmbedder
from hrvlm.generative.oracles.calibration import calibration_counts, read_calibration
from hrvlm.models import inferring

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs" / "certify"
RESULT = Path(__file__).parent / "results" / "oracle_calibration.json"
DESCRIPTION = re.compile(r"(?:an? )?(?:(?:small|large) )?(.+) on an? \w+ background")
THRESHOLDS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
NAMES = {entry.name for entry in all_classes()}


def noun(answer: str) -> str | None:
    """The thing that a description names; None if it follows no such grammar."""
    named = re.sub(r"^an? ", "", answer.rpartition(" on ")[0])
    if named in NAMES:  # such as "small airplane"
        return named
    found = DESCRIPTION.fullmatch(answer)
    return found[1] if found and found[1] in NAMES | {"nothing"} else None


def read_config(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CONFIGS / name).read_text(encoding="utf-8"))
    return found


def commands() -> dict[str, Any]:
    """Errors of the command oracle in the shipped file."""
    calibration = read_config("oracle_action.yaml")["answers"]["questions"][0]["calibration"]
    pairs = read_calibration(ROOT / calibration["file"])
    counts = calibration_counts(CommandOracle(), pairs, "overall")
    errors, trials = counts.of("follow")  # the same for every class
    labels = [pair.label for pair in pairs]
    told = {
        "distinct_answers": len({pair.answer for pair in pairs}),
        "labels": {k: labels.count(k) for k in set(labels)},
    }
    return {"errors": errors, "trials": trials, "gamma": calibration["gamma"], **told}


def pairs_of_answers(count: int, seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Noisy and clean answers of pictures that the configuration does not certify."""
    config = read_config("oracle_equivalence.yaml")
    plan, split = CertificationPlan(**config["plan"] | {"seed": seed}), config["split"]
    prompt = config["answers"]["prompt"]
    module = EmojiDataModule()
    data = module.evaluation_set(split)
    asked = AnswerOptions(questions=[QuestionOptions(oracle=CommandOracle())])  # which is not asked here
    settings = AnnotationSettings(data=module, split=split, plan=plan, answers=asked, images=count, uncertified=True)
    indices = settings.indices(len(data))
    generator = load_generator("emoji-captioner", prompt=prompt)
    found = []
    with inferring(generator):
        for index, (noisy,) in noisy_answers(generator, data, indices, plan.smoothing_plan()):
            clean = generator.generate(data[index][0][None])[0]
            found.append({"index": index, "clean": clean, "noisy": noisy})
    return found, config["answers"]["questions"][0]


def equivalence(count: int, seed: int) -> dict[str, Any]:
    """Errors of the equivalence oracle at several thresholds."""
    pairs, question = pairs_of_answers(count, seed)
    embedder = SentenceEmbedder()
    errors: dict[str, dict[str, int]] = {}
    for pair in pairs:
        nouns = noun(pair["clean"]), noun(pair["noisy"])
        pair["same"] = None not in nouns and nouns[0] == nouns[1]
        cosine = float((embedder.embed([pair["clean"]]) @ embedder.embed([pair["noisy"]]).T)[0, 0])
        pair["similarity"] = round(cosine, 4)
    for threshold in THRESHOLDS:
        oracle = EquivalenceOracle(embedder, threshold=threshold)
        taken = [oracle.anchored([pair["clean"]]).labels([pair["noisy"]])[0] == 0 for pair in pairs]
        errors[str(threshold)] = {
            "taken_for_the_same": sum(said and not pair["same"] for said, pair in zip(taken, pairs, strict=True)),
            "taken_for_another": sum(not said and pair["same"] for said, pair in zip(taken, pairs, strict=True)),
        }
    chosen = question["oracle"]["init_args"].get("threshold")
    return {
        "seed": seed,
        "trials": len(pairs),
        "threshold": chosen,
        "errors": errors[str(chosen)]["taken_for_the_same"],
        "same": sum(pair["same"] for pair in pairs),
        "outside_the_grammar": sum(noun(pair[side]) is None for pair in pairs for side in ("clean", "noisy")),
        "by_threshold": errors,
        "pairs": pairs,
    }


def bound(counts: dict[str, Any], model: ErrorModel, alpha: float = 0.01, gamma: float = 0.1) -> dict[str, float]:
    """What is taken off at an image, at half of alpha as in the configurations."""
    given: dict[str, Any] = {"errors": counts["errors"], "trials": counts["trials"]}
    error = OracleError(model=model, scope="population", gamma=gamma, **given)
    _, calibration = error.shares(alpha)
    return {"mean": round(error.rate_upper(calibration), 4), "at_image": round(error.rate_at_image(calibration), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=300)
    given = parser.parse_args()
    found = {"commands": commands(), "pilot": equivalence(given.pairs, 0), "equivalence": equivalence(given.pairs, 1)}
    found["commands"]["error_at_most"] = bound(found["commands"], "overall")
    found["equivalence"]["error_at_most"] = bound(found["equivalence"], "false positive")
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: {k: v for k, v in part.items() if k != "pairs"} for name, part in found.items()}, indent=1))


if __name__ == "__main__":
    main()
