"""Keys and values of the text before a picture, computed once for all noisy copies."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_transformers
import torch

from hrvlm.evaluation.answer_options import AnswerOptions, QuestionOptions
from hrvlm.generative import Decoding
from hrvlm.generative.oracles import CommandOracle
from hrvlm.generative.transformers_model import TransformersGenerator, load_transformers

QUESTION = "user what is this a red fox on <vision> <image> </vision> what is this"


def load(folder: Path, prompt: str = QUESTION, *, reuse: bool = False) -> TransformersGenerator:
    return load_transformers(folder, prompt=prompt, decoding=Decoding(max_new_tokens=4), reuse_prefix=reuse)


def noisy(count: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, height, width, generator=generator) * 2 - 0.5


@pytest.mark.parametrize(("kind", "before"), [("llava_next", 9), ("qwen2_5", 9), ("idefics3", 11)])
def test_text_before_the_picture_is_read_once_and_answers_stay(kind: str, before: int, tmp_path: Path):
    generator = load(tiny_transformers.save(kind, tmp_path / kind))
    sizes, read = ((24, 24), (12, 12)), []
    plain = [generator.generate(noisy(4, *size)) for size in sizes]
    described = generator.describe()
    generator.reuse_prefix()
    embedding = generator.model.get_input_embeddings()
    hook = embedding.register_forward_hook(lambda _, inputs, __: read.append(tuple(inputs[0].shape)))
    assert [generator.generate(noisy(4, *size)) for size in sizes] == plain
    assert len(set(plain[0])) > 1
    assert generator.generate(noisy(4, 24, 24)[1:2]) == plain[0][1:2]  # what is kept did not grow
    hook.remove()
    length = generator.inputs.prompt(torch.Size([24, 24]))["input_ids"].shape[1]
    assert read[:2] == [(1, before), (4, length - before)]
    assert [shape for shape in read if shape[0] == 1 and shape[1] == before][1:] == []
    assert generator.describe() == described | {"reuses_prefix": True}


@pytest.mark.parametrize("kind", ["mllama", "paligemma"])
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # PaliGemma's own processor
def test_text_that_is_read_in_the_light_of_the_picture_is_not_reused(kind: str, tmp_path: Path):
    folder = tiny_transformers.save(kind, tmp_path / kind)
    with pytest.raises(
        ValueError, match=r"reads the text before a picture without it, got \w+; leave reuse_prefix out"
    ):
        load(folder, reuse=True)


def test_options_reach_the_model_and_need_text_to_reuse(tmp_path: Path):
    folder = tiny_transformers.save("llava", tmp_path / "llava")
    with pytest.raises(ValueError, match=r"expected text before the picture to reuse, got '<image>\\nwhat'; leave"):
        load(folder, "what", reuse=True)
    questions = [QuestionOptions(oracle=CommandOracle())]
    options = AnswerOptions(questions=questions, prompt=QUESTION, reuse_prefix=True)
    generator = options.load(str(folder), "cpu")
    assert generator.describe()["reuses_prefix"]
    asked = "<image> what"  # before which there is nothing to reuse
    decoding = Decoding()
    plain = load_transformers(folder, prompt=asked, decoding=decoding).generate(noisy(2, 16, 16))
    assert generator.asking(asked).generate(noisy(2, 16, 16)) == plain
    with pytest.raises(ValueError, match=r"got reuse_prefix=True for 'emoji-captioner'"):
        AnswerOptions(questions=questions, reuse_prefix=True).load("emoji-captioner", "cpu")
