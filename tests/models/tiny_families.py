"""A tiny architecture of every family of open_clip, with tokenizers and text towers of transformers' own classes.

Names of the hub stand for what lies on this machine while `hub` is open, and for nothing afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import pytest
import transformers
from open_clip import factory
from tiny_models import RESNET, TEXT, VIT

WORDS = ["a", "picture", "of", "fox", "red", "apple", "boat", "dark", "small", "ant", "bee", "cat", "dog", "elm", "on"]
TIMM = {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none"}
OWN = {"context_length": 12, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
ROBERTA = {
    "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 40, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
}  # fmt: skip
COCA_TEXT = {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
FAMILIES: dict[str, dict[str, Any]] = {
    "resnet": {"embed_dim": 32, "vision_cfg": RESNET, "text_cfg": TEXT},
    "vit": {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": TEXT, "quick_gelu": True},
    "gelu": {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": TEXT},
    "custom": {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": TEXT | {"proj_bias": True}, "custom_text": True},
    "timm": {"embed_dim": 32, "vision_cfg": TIMM | {"timm_pool": "avg", "timm_proj": "linear"}, "text_cfg": TEXT},
    "siglip": {
        "embed_dim": 64, "init_logit_bias": -10, "custom_text": True, "vision_cfg": TIMM | {"timm_pool": "avg"},
        "text_cfg": OWN | {
            "hf_tokenizer_name": "tiny/t5", "tokenizer_kwargs": {"clean": "canonicalize"}, "no_causal_mask": True,
            "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6},
        },
    },
    "clipa": {
        "embed_dim": 32, "vision_cfg": VIT | {"pool_type": "avg", "no_ln_pre": True},
        "text_cfg": OWN | {
            "hf_tokenizer_name": "tiny/bert", "tokenizer_kwargs": {"strip_sep_token": True}, "pool_type": "last",
            "no_causal_mask": True,
        },
    },
    "clips": {
        "embed_dim": 32, "custom_text": True, "vision_cfg": VIT,
        "text_cfg": OWN | {"hf_tokenizer_name": "tiny/bert", "tokenizer_mode": "clips", "pool_type": "last"},
    },
    "roberta": {
        "embed_dim": 32, "vision_cfg": VIT,
        "text_cfg": {"hf_model_name": "tiny/roberta", "hf_tokenizer_name": "tiny/t5", "hf_pooler_type": "mean_pooler",
                     "context_length": 12},
    },
    "xlm": {
        "embed_dim": 32, "vision_cfg": VIT,
        "text_cfg": {"hf_model_name": "tiny/xlm", "hf_tokenizer_name": "tiny/t5", "hf_pooler_type": "cls_pooler",
                     "hf_proj_type": "linear", "context_length": 12},
    },
    "mt5": {
        "embed_dim": 32, "vision_cfg": VIT,
        "text_cfg": {"hf_model_name": "tiny/mt5", "hf_tokenizer_name": "tiny/t5", "hf_pooler_type": "mean_pooler",
                     "context_length": 12},
    },
    "nllb": {
        "embed_dim": 32, "vision_cfg": VIT,
        "text_cfg": {"hf_model_name": "tiny/nllb", "hf_tokenizer_name": "tiny/t5", "hf_pooler_type": "cls_pooler",
                     "hf_proj_type": "linear", "context_length": 12},
    },
    "coca": {
        "embed_dim": 32, "custom_text": True,
        "vision_cfg": VIT | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        "text_cfg": COCA_TEXT | {"embed_cls": True, "output_tokens": True},
        "multimodal_cfg": COCA_TEXT | {"attn_pooler_heads": 2},
    },
}  # fmt: skip


def t5() -> Any:
    """As SigLIP's: a Unigram vocabulary, padded with the end token."""
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    vocabulary += [(f"▁{word}", -2.0) for word in WORDS] + [(letter, -4.0) for letter in "abcdefghiklmnoprstuwy"]
    return transformers.T5Tokenizer(vocab=vocabulary, extra_ids=0, pad_token="</s>")


def bert() -> Any:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[BOS]", "[EOS]"]
    vocabulary = {word: number for number, word in enumerate([*special, *WORDS])}
    return transformers.BertTokenizer(vocab=vocabulary, bos_token="[BOS]", eos_token="[EOS]")


TOWERS: dict[str, Any] = {
    "tiny/roberta": lambda: transformers.RobertaConfig(**ROBERTA),
    "tiny/xlm": lambda: transformers.XLMRobertaConfig(**ROBERTA),
    "tiny/mt5": lambda: transformers.MT5Config(
        vocab_size=64, d_model=32, d_kv=16, d_ff=32, num_layers=1, num_decoder_layers=1, num_heads=2, pad_token_id=1
    ),
    "tiny/nllb": lambda: transformers.M2M100Config(
        vocab_size=64, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=40, pad_token_id=1,
    ),
}  # fmt: skip
TOKENIZERS = {"tiny/t5": t5, "tiny/bert": bert}


@contextmanager
def hub(folder: Path) -> Iterator[None]:
    """Lists the families as open_clip's own, `tiny_NAME`, and lets names of the hub be found."""
    for name, make in {**TOKENIZERS, **TOWERS}.items():
        make().save_pretrained(folder / name)
    (folder / "configs").mkdir()
    for name, config in FAMILIES.items():
        (folder / "configs" / f"tiny_{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "configs")
    with pytest.MonkeyPatch.context() as patch:
        for kind in (transformers.AutoTokenizer, transformers.AutoConfig):
            patch.setattr(kind, "from_pretrained", _local(kind.from_pretrained, folder))
        for kind, untrained in ((transformers.AutoModel, transformers.AutoModel.from_config),):
            patch.setattr(kind, "from_pretrained", lambda name, make=untrained, **more: make(_tower(name), **more))
        yield
    factory._MODEL_CONFIG_PATHS.remove(folder / "configs")
    for name in FAMILIES:
        factory._MODEL_CONFIGS.pop(f"tiny_{name}")
    factory._rescan_model_configs()


def _tower(name: str) -> Any:
    return TOWERS[name]()


def _local(original: Any, folder: Path) -> Any:
    def read(name: Any, *given: Any, **more: Any) -> Any:
        return original(folder / name if str(name).startswith("tiny/") else name, *given, **more)

    return read
