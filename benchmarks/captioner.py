"""How often the packaged captioner is right, and how fast it is: `python benchmarks/captioner.py`.

Judged are exactly true answers to both prompts, and true verbs of commands, on the validation split and on the artist
that no training has seen, clean and under Gaussian noise. Writes `benchmarks/results/captioner.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from torch import Tensor

from hrvlm.data import emoji
from hrvlm.data.items import images_and_labels
from hrvlm.generative import Decoding, Generator, load_generator
from hrvlm.generative.captions import ACTIONS, PROMPTS, reference_answers

SPLITS = ("validation", "unseen_artist")
SIGMAS = (0.0, 0.1, 0.25)
RESULT = Path(__file__).parent / "results" / "captioner.json"
BATCH = 256


def answers(generator: Generator, images: Tensor) -> list[str]:
    return [text for part in images.split(BATCH) for text in generator.generate(part)]


def verb(text: str) -> str:
    return next((verb for verb in ACTIONS if f"{text} ".startswith(f"{verb} ")), "")


def accuracy(path: str, split: str, sigma: float) -> dict[str, float]:
    data = emoji(split)
    images, labels = images_and_labels(data, range(len(data)))
    images = images + sigma * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    names = [data.class_names[label] for label in labels.tolist()]
    found: dict[str, float] = {}
    for prompt in PROMPTS:
        texts = answers(load_generator(path, prompt=prompt), images)
        true = [reference_answers(name, prompt) for name in names]
        found[prompt] = sum(text in right for text, right in zip(texts, true, strict=True)) / len(names)
        if prompt == "act":
            right = [verb(text) == verb(one) for text, (one, *_) in zip(texts, true, strict=True)]
            found["verb"] = sum(right) / len(names)
    return {key: round(value, 4) for key, value in found.items()}


def speed(path: str, decoding: Decoding, repeats: int = 8) -> dict[str, float]:
    """Answers per second of wall time and of processor time, on noisy pictures of the unseen artist."""
    data = emoji("unseen_artist")
    images, _ = images_and_labels(data, range(BATCH))
    images = images + 0.25 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    found: dict[str, float] = {}
    for prompt in PROMPTS:
        generator = load_generator(path, prompt=prompt, decoding=decoding)
        uniforms = torch.rand(BATCH, generator.num_uniforms, generator=torch.Generator().manual_seed(2))
        generator.generate(images, uniforms)
        wall, used = time.perf_counter(), time.process_time()
        for _ in range(repeats):
            generator.generate(images, uniforms)
        wall, used = time.perf_counter() - wall, time.process_time() - used
        found[f"{prompt}_per_second"] = round(repeats * BATCH / wall)
        found[f"{prompt}_per_processor_second"] = round(repeats * BATCH / used)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="emoji-captioner")
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    rows = [
        {"split": split, "sigma": sigma} | accuracy(options.model, split, sigma) for split in SPLITS for sigma in SIGMAS
    ]
    decodings = {"greedy": Decoding(max_new_tokens=12), "sampled": Decoding(max_new_tokens=12, temperature=1.0)}
    speeds = {name: speed(options.model, decoding) for name, decoding in decodings.items()}
    result = {"threads": torch.get_num_threads(), "accuracy": rows, "speed": speeds}
    result["weights"] = load_generator(options.model).describe()["weights"]
    options.result.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
