"""From which similarity on two sentences say the same: `python benchmarks/oracle_thresholds.py`, a minute.

Each of 250 packaged emoji has the caption "NAME on a white background" and five other wordings of it. An oracle of
equivalence whose anchor is the caption errs where it takes a wording for something else, and where it takes the caption
of another emoji for the same thing. Both are counted at several thresholds, for every embedder that ships.

Writes `benchmarks/results/oracle_thresholds.json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from machines import machine

from hrvlm.data.emoji_pack.pack import all_classes
from hrvlm.data.sampling import evenly_spread
from hrvlm.generative.captions import description
from hrvlm.generative.oracles import BagOfWordsEmbedder, ModelTextEmbedder, SentenceEmbedder
from hrvlm.generative.oracles.embedders import Embedder

RESULT = Path(__file__).parent / "results" / "oracle_thresholds.json"
THRESHOLDS = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
BACKGROUND = " on a white background"
WORDINGS = (
    "a picture of {thing} on a white background",
    "the image shows {thing} on a white background",
    "a photo of {thing} on white",
    "{small} on a white background",
    "{thing}",
)


def sentences(count: int) -> tuple[list[str], list[list[str]]]:
    """Captions, and the other wordings of each."""
    entries = all_classes()
    chosen = [entries[place] for place in evenly_spread(len(entries), count)]
    captions = [description(entry) for entry in chosen]
    things = [caption.removesuffix(BACKGROUND) for caption in captions]
    small = [description(entry, size="small").removesuffix(BACKGROUND) for entry in chosen]
    worded = [
        [wording.format(thing=thing, small=tiny) for wording in WORDINGS]
        for thing, tiny in zip(things, small, strict=True)
    ]
    return captions, worded


def errors(embedder: Embedder, captions: list[str], worded: list[list[str]]) -> dict[str, dict[str, Any]]:
    """Shares of mistakes by threshold: of wordings, of pairs of captions, and of captions with any mistaken pair."""
    anchors = embedder.embed(captions)
    same = np.stack([embedder.embed(each) @ anchor for each, anchor in zip(worded, anchors, strict=True)])
    others = anchors @ anchors.T
    apart = ~np.eye(len(captions), dtype=bool)
    found = {}
    for threshold in THRESHOLDS:
        missed, alike = same < threshold, (others >= threshold) & apart
        found[f"{threshold:g}"] = {
            "missed": round(float(missed.mean()), 4),
            "missed_by_wording": dict(zip(WORDINGS, missed.mean(axis=0).round(4).tolist(), strict=True)),
            "confused": round(float(alike[apart].mean()), 5),
            "like_another": round(float(alike.any(axis=1).mean()), 4),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", type=int, default=250)
    given = parser.parse_args()
    captions, worded = sentences(given.captions)
    embedders: dict[str, Embedder] = {
        "SentenceEmbedder": SentenceEmbedder(),
        "BagOfWordsEmbedder": BagOfWordsEmbedder(),
        "ModelTextEmbedder": ModelTextEmbedder(),
    }
    found = {name: errors(embedder, captions, worded) for name, embedder in embedders.items()}
    result = {"machine": machine(), "captions": given.captions, "embedders": found}
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: part["0.7"] for name, part in found.items()}, indent=1))


if __name__ == "__main__":
    main()
