"""What is refused of a folder with a transformers model, and how."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_transformers
import torch
import transformers
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from hrvlm.generative import Decoding, load_generator
from hrvlm.generative.transformers_model import TransformersGenerator, load_transformers
from hrvlm.generative.transformers_pixels import PixelPath

QUESTION = "what is this"
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_transformers.save("llava", tmp_path_factory.mktemp("models") / "llava")


@pytest.fixture
def folder(llava: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(llava, tmp_path / "llava"))


def load(folder: Path, prompt: str | None = QUESTION) -> TransformersGenerator:
    return load_transformers(folder, prompt=prompt, decoding=Decoding(max_new_tokens=6))


def images(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def cut(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def garble(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"no tensors" * 100)


def pickle_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save({"lm_head.weight": torch.zeros(1)}, folder / "pytorch_model.bin")


def drop_a_weight(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / WEIGHTS)
    state.pop(next(key for key in state if "embed_tokens" in key))
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})


def make_a_weight_none(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / WEIGHTS)
    state[next(key for key in state if "embed_tokens" in key)][3, 0] = torch.inf
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})


def widen_the_config(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["hidden_size"] = 32
    (folder / "config.json").write_text(json.dumps(config))


def break_the_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": ')


def name_unknown_code(folder: Path) -> None:
    code = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"
    (folder / "code.py").write_text(code + "class Config: ...\nclass Model: ...\n")
    config = {
        "model_type": "own",
        "auto_map": {"AutoConfig": "code.Config", "AutoModelForImageTextToText": "code.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config))


def drop_the_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def another_kind(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertModel"]}))


DAMAGES = [
    cut, garble, pickle_weights, drop_a_weight, make_a_weight_none, widen_the_config, break_the_config,
    name_unknown_code, drop_the_tokenizer, another_kind,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_gives_one_sentence(
    folder: Path, damage: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
):
    damage(folder)
    capfd.readouterr()
    with pytest.raises(ValueError, match=str(folder)) as caught:
        load(folder)
    text = str(caught.value)
    assert text.startswith(("expected", "could not load"))
    assert "\n" not in text
    assert len(text) < 600
    assert not (folder / "ran").exists()
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""


def test_no_package_gives_the_command_that_installs_it(llava: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    for loading in (load, load_generator):
        with pytest.raises(
            ValueError, match=r"expected the package transformers .* `pip install \"hrvlm\[generative\]\"`"
        ):
            loading(llava)


def test_settings_saved_with_a_model_do_not_change_the_decoding(llava: Path, tmp_path: Path):
    saved = {"repetition_penalty": 9.0, "do_sample": True, "temperature": 5.0, "top_k": 3, "min_new_tokens": 5}
    other = tiny_transformers.save("llava", tmp_path / "other", **saved)
    plain, answers = load(llava), load(other).generate(images())
    assert plain.generate(images()) == answers
    assert any(len(answer.split()) < 5 for answer in answers)


def test_several_tokens_may_end_an_answer(llava: Path):
    pictures, first = images(8), load_transformers(llava, prompt=QUESTION, decoding=Decoding(max_new_tokens=1))
    with torch.no_grad():
        end = first.log_probability(pictures, [""] * 8).exp()
        fox = first.log_probability(pictures, ["fox"] * 8).exp()
    second = load(llava)
    number = second.tokenizer.convert_tokens_to_ids("fox")
    second.ends = [*second.ends, number]
    with torch.no_grad():
        either = second.log_probability(pictures, [""] * 8).exp()
    assert (either > end).all()
    assert (either - end >= fox - 1e-6).all()  # saying fox is more probable than saying it and then ending


def test_a_processor_of_8_bits_is_refused(llava: Path):
    good = load(llava)
    settings = {key: getattr(good.processor.image_processor, key) for key in ("size", "crop_size")}
    good.processor.image_processor = LlavaImageProcessorPil(**{key: dict(value) for key, value in settings.items()})
    with pytest.raises(ValueError, match=r"takes floating-point tensors, got LlavaImageProcessorPil .* torchvision"):
        TransformersGenerator(good.model, good.processor, name="x", prompt=QUESTION, decoding=good.decoding)


class Changing:
    """A processor that does something to pixels on their way."""

    do_rescale = True

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.change = change

    def __call__(self, images: Any, **_: Any) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.change(torch.stack([image for (image,) in images])) / 255}


CHANGES: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], bool]] = {
    "nothing": (lambda x: x, True), "clip": (lambda x: x.clamp(0, 255), False), "round": (torch.round, False),
    "bytes": (lambda x: x.clamp(0, 255).byte().float(), False), "blank": (torch.zeros_like, False),
    "cast": (lambda x: x.double(), True), "clip above": (lambda x: x.clamp(max=255), False),
}  # fmt: skip


@pytest.mark.parametrize("change", list(CHANGES))
def test_clipping_and_rounding_are_noticed(change: str):
    function, fine = CHANGES[change]
    if fine:
        PixelPath(Changing(function)).check()
    else:
        with pytest.raises(ValueError, match=r"neither clips nor rounds pictures, got Changing"):
            PixelPath(Changing(function)).check()


def test_padding_has_the_colour_it_had_in_training(llava: Path):
    processor = transformers.AutoProcessor.from_pretrained(llava).image_processor
    processor.do_pad = True
    processor.do_center_crop = False
    processor.do_resize = False
    wide = torch.full((1, 3, 8, 16), 0.25)
    padded = PixelPath(processor)(wide)["pixel_values"][0]
    usual = processor((wide[0] * 255).round().byte(), return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(padded[:, 0], usual[:, 0])
    assert padded[:, 0].abs().max() < 0.02  # the mean, to one level of 8 bits


def test_images_need_a_way_back_for_gradients(llava: Path):
    generator = load(llava)
    generator.pixels.processor = Changing(torch.Tensor.detach)
    with pytest.raises(ValueError, match=r"expected image processing with gradients, got \w+, which passes none on"):
        generator.log_probability(images(1).requires_grad_(), ["fox"])


def test_prompts(llava: Path, tmp_path: Path):
    assert load(llava, "what is this").question == "<image>\nwhat is this"
    assert load(llava, "user <image> what").question == "user <image> what"
    assert load(llava, None).question.startswith("<image>\nDescribe")
    with pytest.raises(ValueError, match=r"one picture \(<image>\), got 2"):
        load(llava, "<image> <image>")
    chat = load(tiny_transformers.save("smolvlm", tmp_path / "smolvlm"), "what is this")
    assert chat.question == "<s> user <image> what is this assistant "
    assert chat.inputs.prompt(torch.Size([16, 16]))["input_ids"][0].tolist().count(1) == 1
    assert load(llava).inputs.prompt(torch.Size([16, 16]))["input_ids"][0].tolist().count(4) == 16


def test_answers_from_scores_that_are_none_are_blank(llava: Path):
    generator = load_generator(llava, prompt=QUESTION, decoding=Decoding(max_new_tokens=4, temperature=1.0))
    uniforms = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    broken = images(3)
    broken[1] = torch.nan
    answers, others = generator.generate(broken, uniforms), generator.generate(images(3), uniforms)
    assert others[1] != ""
    assert answers == [others[0], "", others[2]]
    assert generator.lost.count == 1


def change(folder: Path, name: str, **settings: Any) -> None:
    found = json.loads((folder / name).read_text())
    for key, value in settings.items():
        found.pop(key, None)
        found |= {} if value is None else {key: value}
    (folder / name).write_text(json.dumps(found))


FOREIGN: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "no patch size": (
        lambda folder: change(folder, "processor_config.json", patch_size=None),
        "expected a processor that takes a question and a picture, got TypeError",
        "processor_config.json",
    ),
    "other number of tokens": (
        lambda folder: change(folder, "processor_config.json", num_additional_image_tokens=3),
        "expected a processor that fits its model",
        "processor_config.json",
    ),
    "template that raises": (
        lambda folder: (folder / "chat_template.jinja").write_text("{{ raise_exception('roles must alternate') }}"),
        "expected a chat template that puts one picture .* roles must alternate",
        "chat_template.jinja",
    ),
    "template without pictures": (
        lambda folder: (folder / "chat_template.jinja").write_text("say {{ messages[0]['role'] }}"),
        "expected a chat template that puts one picture .*, got 0 pictures in 'say user'",
        "chat_template.jinja",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FOREIGN)
def test_processors_that_do_not_fit_are_told_while_loading(folder: Path, case: str):
    damage, sentence, file = FOREIGN[case]
    damage(folder)
    with pytest.raises(ValueError, match=sentence) as caught:
        load(folder)
    assert str(caught.value).endswith(f"see {folder / file}")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_templates_of_plain_text_are_used(folder: Path):
    template = "{% for m in messages %}{{ m['role'] + ' ' + m['content'] }} {% endfor %}assistant"
    (folder / "chat_template.jinja").write_text(template)
    assert load(folder).question == "user <image>\nwhat is this assistant"


def test_a_mask_of_four_axes_goes_with_every_picture_of_a_batch(tmp_path: Path):
    """As Llama 3.2 Vision has, whose text looks at the picture through it, also where the answer is given."""
    generator = load(tiny_transformers.save("mllama", tmp_path / "mllama"))
    pictures, answers = images(3), ["red fox", "", "a cat on"]
    with torch.no_grad():
        together = generator.log_probability(pictures, answers)
        alone = [generator.log_probability(pictures[i : i + 1], answers[i : i + 1])[0] for i in range(3)]
        masked = generator.log_probability(pictures.flip(0), answers)
    torch.testing.assert_close(together, torch.stack(alone))
    assert not torch.allclose(together[0], masked[0], rtol=0, atol=1e-6)
    assert generator.generate(pictures) == [generator.generate(pictures[i : i + 1])[0] for i in range(3)]
