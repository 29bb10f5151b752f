"""Tiny untrained models of real transformers families, saved with processors and word-level tokenizers of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers.models.idefics3 import Idefics3ImageProcessor
from transformers.models.llava_next import LlavaNextImageProcessor
from transformers.models.mllama import MllamaProcessor
from transformers.models.qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl import Qwen2VLImageProcessor, Qwen2VLProcessor, Qwen2VLVideoProcessor
from transformers.models.smolvlm import SmolVLMImageProcessor, SmolVLMProcessor, SmolVLMVideoProcessor

WORDS = ["a", "red", "blue", "apple", "fox", "cat", "on", "white", "what", "is", "this", "user", "assistant"]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "<video>", "<vision>", "</vision>", "<around>", "<global>"]
TEMPLATE = (
    "<s> {% for m in messages %}{{ m['role'] }} {% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE "
    "{% else %}{{ c['text'] }} {% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %}assistant {% endif %}"
)
TEXT = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "vocab_size": len(WORDS) + len(SPECIAL), "max_position_embeddings": 256,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
VISION = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 16,
    "patch_size": 4,
}  # fmt: skip


def tokenizer() -> Any:
    """Words by white space; id 0 pads, 2 ends."""
    ids = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    words = Tokenizer(WordLevel(ids, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
        extra_special_tokens={
            "image_token": "<image>", "video_token": "<video>", "fake_image_token": "<around>",
            "global_image_token": "<global>", "vision_start_token": "<vision>", "vision_end_token": "</vision>",
        },
    )  # fmt: skip


def llava() -> tuple[Any, Any]:
    """LLaVA: a CLIP tower in front of a Llama; without a chat template."""
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION), text_config=transformers.LlamaConfig(**TEXT),
        image_token_index=4, image_seq_length=16,
    )  # fmt: skip
    size = {"height": 16, "width": 16}
    images = transformers.LlavaImageProcessor(size={"shortest_edge": 16}, crop_size=size)
    processor = transformers.LlavaProcessor(
        images, tokenizer(), patch_size=4, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    return transformers.LlavaForConditionalGeneration(config), processor


def qwen() -> tuple[Any, Any]:
    """Qwen2-VL: patches of any number, places in three dimensions; with a chat template."""
    vision = {"depth": 2, "embed_dim": 16, "hidden_size": 16, "num_heads": 2, "patch_size": 4, "mlp_ratio": 2}
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    config = transformers.Qwen2VLConfig(
        text_config=TEXT | {"rope_parameters": rope}, vision_config=vision, image_token_id=4, video_token_id=5,
        vision_start_token_id=6, vision_end_token_id=7,
    )  # fmt: skip
    images = Qwen2VLImageProcessor(patch_size=4, size={"shortest_edge": 64, "longest_edge": 1024})
    template = TEMPLATE.replace("IMAGE", "<vision><image></vision>")
    processor = Qwen2VLProcessor(images, tokenizer(), Qwen2VLVideoProcessor(patch_size=4), chat_template=template)
    return transformers.Qwen2VLForConditionalGeneration(config), processor


def smolvlm() -> tuple[Any, Any]:
    """SmolVLM: one picture as several; with a chat template."""
    config = transformers.SmolVLMConfig(
        vision_config=VISION, text_config={"model_type": "llama", **TEXT}, image_token_id=4, scale_factor=2
    )
    images = SmolVLMImageProcessor(size={"longest_edge": 16}, max_image_size={"longest_edge": 16})
    processor = SmolVLMProcessor(
        images,
        tokenizer(),
        SmolVLMVideoProcessor(),
        image_seq_len=4,
        chat_template=TEMPLATE.replace("IMAGE", "<image>"),
    )
    return transformers.SmolVLMForConditionalGeneration(config), processor


def mllama() -> tuple[Any, Any]:
    """Llama 3.2 Vision: the text looks at tiles of the picture through a mask of four axes."""
    vision = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_global_layers": 1, "image_size": 16,
        "attention_heads": 2, "patch_size": 4, "max_num_tiles": 2, "vision_output_dim": 32,
        "intermediate_layers_indices": [0], "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
    }  # fmt: skip
    rope = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
    text = TEXT | rope | {"num_hidden_layers": 3, "cross_attention_layers": [1]}
    config = transformers.MllamaConfig(vision_config=vision, text_config=text, image_token_index=4)
    images = transformers.MllamaImageProcessor(size={"height": 16, "width": 16}, max_image_tiles=2)
    template = TEMPLATE.replace("IMAGE", "<image>")
    return transformers.MllamaForConditionalGeneration(config), MllamaProcessor(images, tokenizer(), template)


def llava_next() -> tuple[Any, Any]:
    """LLaVA-NeXT: a picture as it is and in tiles, of which padding is left out; told the size of the picture."""
    tiles = [[16, 32], [32, 16], [32, 32]]
    config = transformers.LlavaNextConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION), text_config=transformers.LlamaConfig(**TEXT),
        image_token_index=4, image_grid_pinpoints=tiles,
    )  # fmt: skip
    images = LlavaNextImageProcessor(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}, image_grid_pinpoints=tiles
    )
    processor = transformers.LlavaNextProcessor(
        images, tokenizer(), patch_size=4, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    return transformers.LlavaNextForConditionalGeneration(config), processor


def qwen_of_windows() -> tuple[Any, Any]:
    """Qwen2.5-VL: as Qwen2-VL, with a tower that looks at windows of patches."""
    vision = {
        "depth": 2, "hidden_size": 16, "out_hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "patch_size": 4,
        "window_size": 16, "fullatt_block_indexes": [1],
    }  # fmt: skip
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    config = transformers.Qwen2_5_VLConfig(
        text_config=TEXT | {"rope_parameters": rope}, vision_config=vision, image_token_id=4, video_token_id=5,
        vision_start_token_id=6, vision_end_token_id=7,
    )  # fmt: skip
    images = Qwen2VLImageProcessor(patch_size=4, size={"shortest_edge": 64, "longest_edge": 1024})
    template = TEMPLATE.replace("IMAGE", "<vision><image></vision>")
    processor = Qwen2_5_VLProcessor(images, tokenizer(), Qwen2VLVideoProcessor(patch_size=4), chat_template=template)
    return transformers.Qwen2_5_VLForConditionalGeneration(config), processor


def idefics3() -> tuple[Any, Any]:
    """Idefics3: a picture in tiles and as a whole, with a mask of its pixels."""
    config = transformers.Idefics3Config(
        vision_config=VISION, image_token_id=4, scale_factor=2,
        text_config={"model_type": "llama", **TEXT, "vocab_size": TEXT["vocab_size"] + 2},  # its processor adds two
    )  # fmt: skip
    images = Idefics3ImageProcessor(size={"longest_edge": 32}, max_image_size={"longest_edge": 16})
    template = TEMPLATE.replace("IMAGE", "<image>")
    processor = transformers.Idefics3Processor(images, tokenizer(), image_seq_len=4, chat_template=template)
    return transformers.Idefics3ForConditionalGeneration(config), processor


def paligemma() -> tuple[Any, Any]:
    """PaliGemma: picture and question see each other in both directions, the answer sees what came before."""
    words = tokenizer()
    vision = transformers.SiglipVisionConfig(**VISION)
    text = transformers.GemmaConfig(**TEXT | {"head_dim": 8, "vocab_size": len(words) + 1152})  # places and outlines
    config = transformers.PaliGemmaConfig(
        vision_config=vision, text_config=text, image_token_index=4, projection_dim=16
    )
    images = transformers.SiglipImageProcessor(size={"height": 16, "width": 16})
    images.image_seq_length = 16
    return transformers.PaliGemmaForConditionalGeneration(config), transformers.PaliGemmaProcessor(images, words)


FAMILIES: dict[str, Callable[[], tuple[Any, Any]]] = {"llava": llava, "qwen": qwen, "smolvlm": smolvlm}
OTHERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "llava_next": llava_next, "qwen2_5": qwen_of_windows, "idefics3": idefics3, "mllama": mllama,
    "paligemma": paligemma,
}  # fmt: skip


def save(kind: str, folder: Path, *, seed: int = 0, **settings: Any) -> Path:
    """Saves model and processor, with weights large enough for pictures to show in answers.

    Args:
        kind: Of `FAMILIES` or `OTHERS`.
        folder: Is made.
        seed: Of the weights.
        settings: Saved as generation settings with the model.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, processor = (FAMILIES | OTHERS)[kind]()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.3 * torch.randn_like(parameter)
    model.generation_config = transformers.GenerationConfig(eos_token_id=2, pad_token_id=0, **settings)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
