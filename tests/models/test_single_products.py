"""Self-attention and patch projections as single products, against PyTorch's attention and convolution."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import open_clip
import pytest
import torch
from open_clip.transformer import AttentionalPooler, ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import hrvlm
from hrvlm.models import inference_copy
from hrvlm.models.single_products import PatchProjection, SelfAttention, with_single_products

NUM, TOKENS, WIDTH, HEADS = 3, 5, 12, 4


def given(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attention() -> nn.MultiheadAttention:
    torch.manual_seed(0)
    made = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).double()
    for value in made.parameters():
        nn.init.normal_(value, std=0.4)
    return made


def outputs_and_gradients(call: Callable[[Tensor], Tensor], x: Tensor, *weights: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    found = call(x)
    return [found, *torch.autograd.grad((found * given(*found.shape, seed=2)).sum(), [x, *weights])]


CAUSAL = torch.full((TOKENS, TOKENS), float("-inf"), dtype=torch.float64).triu(1)
MASKS = {"none": None, "causal": CAUSAL, "of every head": CAUSAL + given(NUM * HEADS, TOKENS, TOKENS, seed=4)}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_attention_has_outputs_and_gradients_of_pytorchs(mask: Tensor | None) -> None:
    theirs = attention()
    ours = SelfAttention(theirs)
    tokens, weights = given(NUM, TOKENS, WIDTH), list(theirs.parameters())
    expected = outputs_and_gradients(lambda x: theirs(x, x, x, need_weights=False, attn_mask=mask)[0], tokens, *weights)
    found = outputs_and_gradients(lambda x: ours(x, x, x, attn_mask=mask)[0], tokens, *weights)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [(8, 8), (8, 12), (11, 9)])
def test_patches_have_outputs_and_gradients_of_a_convolution(size: tuple[int, int]) -> None:
    theirs = nn.Conv2d(3, WIDTH, 4, stride=4, bias=False).double()
    ours = PatchProjection(theirs)
    images = given(NUM, 3, *size)
    expected = outputs_and_gradients(theirs, images, theirs.weight)
    found = outputs_and_gradients(ours, images, theirs.weight)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    laid_out = images.to(memory_format=torch.channels_last)
    torch.testing.assert_close(ours(laid_out), expected[0], rtol=1e-10, atol=1e-12)


def model() -> Any:
    torch.manual_seed(0)
    text = {"context_length": 7, "vocab_size": 50, "width": WIDTH, "heads": HEADS, "layers": 2}
    vision = {"image_size": 8, "patch_size": 4, "width": WIDTH, "layers": 2, "head_width": 3}
    return open_clip.CLIP(8, vision, text).double().eval()  # type: ignore[arg-type]


def test_models_keep_outputs_names_and_weights() -> None:
    theirs = model()
    ours = copy.deepcopy(theirs)
    before = {name: value.data_ptr() for name, value in ours.state_dict().items()}
    with_single_products(ours)
    kinds = [type(part) for part in ours.modules()]
    assert kinds.count(SelfAttention) == 4
    assert kinds.count(PatchProjection) == 1
    assert not {nn.MultiheadAttention, nn.Conv2d} & set(kinds)
    assert {name: value.data_ptr() for name, value in ours.state_dict().items()} == before
    images, texts = given(NUM, 3, 8, 8), torch.randint(50, (NUM, 7), generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(ours.encode_image(images), theirs.encode_image(images), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(ours.encode_text(texts), theirs.encode_text(texts), rtol=1e-10, atol=1e-12)


def test_frozen_weights_need_no_products_image_by_image() -> None:
    """What takes more than twice as long, forwards and backwards, in PyTorch's own attention."""
    images = torch.rand(NUM, 3, 8, 8, requires_grad=True)

    def products(tower: nn.Module) -> int:
        with torch.profiler.profile() as profile:
            torch.autograd.grad(tower(images).sum(), images)
        shapes = (event for event in profile.key_averages() if event.key == "aten::bmm")
        return sum(event.count for event in shapes)

    theirs = model().float().requires_grad_(False).visual
    ours = copy.deepcopy(theirs)
    with_single_products(ours)
    assert products(ours) == 0 < products(theirs)


def test_loaded_vision_transformers_have_them(tiny_model: Any) -> None:
    clip = hrvlm.load_model(str(tiny_model)).clip
    kinds = [type(part) for part in clip.modules()]
    assert SelfAttention in kinds
    assert nn.MultiheadAttention not in kinds


BLOCKS: dict[str, Callable[[ResidualAttentionBlock], object]] = {
    "hook": lambda block: block.attn.register_forward_hook(lambda module, given, out: out),
    "method": lambda block: setattr(block.attn, "forward", lambda *given, **named: given),
    "keys of their own": lambda block: setattr(block, "attn", nn.MultiheadAttention(12, 3, kdim=12, vdim=6)),
    "bias of keys": lambda block: setattr(
        block, "attn", nn.MultiheadAttention(12, 3, add_bias_kv=True, batch_first=True)
    ),
    "no bias": lambda block: setattr(block, "attn", nn.MultiheadAttention(12, 3, bias=False, batch_first=True)),
    "batch second": lambda block: setattr(block, "attn", nn.MultiheadAttention(12, 3)),
    "dropout": lambda block: setattr(block.attn, "dropout", 0.1),
    "zero attention": lambda block: setattr(block.attn, "add_zero_attn", True),
    "cross attention": lambda block: setattr(block, "ln_1_kv", nn.LayerNorm(12)),
}


@pytest.mark.parametrize("change", BLOCKS)
def test_attention_that_is_another_stays(change: str) -> None:
    block = ResidualAttentionBlock(12, 3)
    BLOCKS[change](block)
    before = block.attn
    with_single_products(block)
    assert block.attn is before


def test_other_attention_and_convolutions_stay() -> None:
    pooler = AttentionalPooler(12, 12, n_head=3)
    with_single_products(pooler)
    assert type(pooler.attn) is nn.MultiheadAttention
    with pytest.raises(ValueError, match="self-attention"):
        SelfAttention(attention())(given(1, 2, WIDTH), given(1, 2, WIDTH), given(1, 2, WIDTH))
    tower = VisionTransformer(image_size=8, patch_size=4, width=12, layers=1, heads=3, mlp_ratio=2.0)
    tower.conv1 = nn.Conv2d(3, 12, 4, stride=2, bias=False)
    with_single_products(tower)
    assert type(tower.conv1) is nn.Conv2d


class Attentions(TorchDispatchMode):
    """Counts what attention is computed by: one kernel, or a softmax between two products."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = {"fused": 0, "softmax": 0}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.counts["fused"] += name.startswith("_scaled_dot_product_flash_attention")
        self.counts["softmax"] += name.endswith("softmax")
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_of_every_block_is_one_kernel_forth_and_one_back(dtype: torch.dtype) -> None:
    tower = VisionTransformer(image_size=8, patch_size=4, width=16, layers=3, heads=2, mlp_ratio=2.0).to(dtype)
    with_single_products(tower)
    pixels = torch.rand(2, 3, 8, 8, dtype=dtype, requires_grad=True)
    with Attentions() as found:
        tower(pixels).sum().backward()
    assert found.counts == {"fused": 6, "softmax": 0}
    with Attentions() as found, torch.no_grad():
        inference_copy(tower)(pixels)
    assert found.counts == {"fused": 2, "softmax": 1}  # in the last block one token asks
