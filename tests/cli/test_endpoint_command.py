"""`certify.py run` and `answers` of a model behind a server, against the same model in this process."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from endpoint_server import serving
from oracle_runs import COMMAND, SAME, by_claim, command, write_config
from torch import Tensor

from hrvlm.certificates.kinds.oracle.certify import AnswerQuestion, Labelling, certify_answers
from hrvlm.certificates.sampling.plan import SmoothingPlan
from hrvlm.cli.certify import main
from hrvlm.data import emoji
from hrvlm.data.sampling import evenly_spread
from hrvlm.evaluation.answers import labelling_at
from hrvlm.generative import Decoding, load_generator
from hrvlm.generative.oracles import BagOfWordsEmbedder, CommandOracle, EquivalenceOracle, Oracle

N0, N, SIGMA, ALPHA = 2, 16, 0.25, 0.05
INSIDE = load_generator("emoji-captioner", prompt="act", decoding=Decoding(max_new_tokens=12))


class Rounded:
    """The packaged captioner on pictures of 8 bits, written apart from the code that sends them."""

    num_uniforms = 0

    def generate(self, images: Tensor, uniforms: Tensor | None = None) -> list[str]:
        return INSIDE.generate((255 * images.clamp(0, 1)).round() / 255)


def served(picture: Tensor, prompt: str) -> str:
    assert prompt == "act"
    return INSIDE.generate(picture[None])[0]


def _at(oracle: Oracle, index: int, clean: str) -> Labelling:
    return labelling_at(oracle, clean)


def counts_in_process() -> dict[tuple[str, int], tuple[int, int, int]]:
    oracles = [CommandOracle(), EquivalenceOracle(BagOfWordsEmbedder(), threshold=0.9)]
    questions = [
        AnswerQuestion(oracle.name, count, partial(_at, oracle), lambda *_: -1, target)
        for oracle, count, target in ((oracles[0], len(oracles[0].classes), None), (oracles[1], 3, 0))
    ]
    data = emoji("unseen_artist")
    plan = SmoothingPlan(sigma=SIGMA, n0=N0, n=N, alpha=ALPHA, seed=0)
    found = {}
    for image in certify_answers(Rounded(), data, evenly_spread(len(data), 2), questions, plan, batch_size=32):
        for row, unparseable in zip(image.statements, image.unparseable, strict=True):
            found[row.tree, row.index] = (row.prediction, row.count, unparseable)
    return found


def test_the_same_images_are_certified_with_the_same_counts(tmp_path: Path, capsys: Any) -> None:
    answers = {
        "questions": [{"oracle": COMMAND}, {"oracle": SAME}], "decoding": {"max_new_tokens": 12},
        "endpoint": {"in_flight": 4},
    }  # fmt: skip
    plan = {"num_images": 2, "n0": N0, "n": N, "sigma": SIGMA, "alpha": ALPHA}
    config = write_config(tmp_path, answers=answers, plan=plan)
    with serving(served) as server:
        run = command("run", config, tmp_path / "run", model=server.address)
        asked = len(server.bodies)
        command("run", config, run, model=server.address)  # goes on, and has nothing to ask
        assert len(server.bodies) == asked
        labels = tmp_path / "labels.jsonl"
        main(
            ["answers", "--config", str(config), "--checkpoint", server.address, "--output", str(labels),
             "--scope", "image", "--samples_per_image", "1"]
        )  # fmt: skip
    assert len(labels.read_text(encoding="utf-8").splitlines()) == 2
    expected = counts_in_process()
    rows = [row for oracle in ("command", "equivalence") for row in by_claim(run, oracle)["composite"].values()]
    assert {(r["oracle"], r["index"]): (r["prediction"], r["count"], r["unparseable"]) for r in rows} == expected
    assert any(row["radius"] > 0 for row in rows)
    assert len({row["count"] for row in rows}) > 1
    settings = json.loads((run / "settings.json").read_text())["generator"]
    assert settings["pictures"] == "PNG of 8 bits: clipped to [0, 1], rounded to multiples of 1/255"
    assert settings["endpoint"] == {"id": "tiny", "root": "/models/tiny"}
    capsys.readouterr()
    main(["verify", str(run)])
    assert f"{len(rows)} certificates, 0 that do not hold" in capsys.readouterr().out


def test_without_rounding_the_counts_are_others() -> None:
    """What makes the comparison above one of the rounding too: pixels that leave [0, 1] change answers."""
    noise = torch.randn(12, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * SIGMA
    noisy = emoji("unseen_artist")[0][0] + noise
    assert INSIDE.generate(noisy) != Rounded().generate(noisy)
