"""Last blocks of vision transformers for the class token alone, against open_clip's own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from open_clip.transformer import LayerNormFp32, QuickGELU, VisionTransformer
from torch import Tensor, nn

from hrvlm.models import inference_copy
from hrvlm.models.transformer_inference import ClassTokenBlock, ClassTokenTransformer, with_class_token_alone


def tower(**given: Any) -> VisionTransformer:
    """Two blocks of width 12 with 3 heads on 2 x 2 patches; every weight a number of its own."""
    torch.manual_seed(0)
    made = VisionTransformer(
        **{
            "image_size": 8,
            "patch_size": 4,
            "width": 12,
            "layers": 2,
            "heads": 3,
            "mlp_ratio": 2.0,
            "output_dim": 5,
            **given,
        }
    )
    for value in made.parameters():
        nn.init.normal_(value, std=0.4)
    return made.double().eval()


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


VARIANTS: dict[str, dict[str, Any]] = {
    "usual": {},
    "one block": {"layers": 1},
    "scaled layers": {"ls_init_value": 0.3},
    "fast GELU": {"act_layer": QuickGELU},
    "norms in float32": {"norm_layer": LayerNormFp32},
    "norm after pooling": {"final_ln_after_pool": True},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_towers_have_the_outputs_and_gradients_of_theirs(variant: str) -> None:
    exact = variant != "norms in float32"
    precision, tight = (torch.float64, 1e-12) if exact else (torch.float32, 1e-5)
    ours = tower(**VARIANTS[variant]).to(precision)
    twin = inference_copy(ours)
    assert isinstance(twin.transformer, ClassTokenTransformer)
    assert isinstance(twin.transformer.last, ClassTokenBlock)
    assert not isinstance(ours.transformer, ClassTokenTransformer)
    one, other = images().to(precision).requires_grad_(), images().to(precision).requires_grad_()
    expected, found = ours(one), twin(other)
    torch.testing.assert_close(found, expected, rtol=tight, atol=tight)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2), dtype=precision)
    slopes = [torch.autograd.grad((out * weights).sum(), leaf)[0] for out, leaf in ((expected, one), (found, other))]
    torch.testing.assert_close(slopes[1], slopes[0], rtol=100 * tight, atol=100 * tight)


def test_the_last_block_sees_one_token_and_shares_its_weights() -> None:
    ours = tower()
    twin = inference_copy(ours)
    seen: list[tuple[int, ...]] = []
    twin.transformer.last.mlp.register_forward_hook(lambda module, given, out: seen.append(tuple(out.shape)))
    twin(images())
    assert seen == [(3, 1, 12)]
    assert {value.data_ptr() for value in twin.parameters()} == {value.data_ptr() for value in ours.parameters()}
    before = twin(images())
    with torch.no_grad():
        ours.transformer.resblocks[-1].attn.in_proj_weight.mul_(1.5)
    assert not torch.equal(twin(images()), before)
    torch.testing.assert_close(twin(images()), ours(images()), rtol=1e-12, atol=1e-12)


def test_intermediate_tokens_are_all_there() -> None:
    ours = tower()
    given = {"indices": 1, "output_extra_tokens": True}
    expected, found = (
        ours.forward_intermediates(images(), **given),
        inference_copy(ours).forward_intermediates(images(), **given),
    )
    assert found["image_intermediates"][0].shape == (3, 12, 2, 2)
    torch.testing.assert_close(found["image_intermediates"][0], expected["image_intermediates"][0])


def test_autocast_and_empty_batches() -> None:
    ours = tower().float()
    twin = inference_copy(ours)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found, expected = twin(images().float()), ours(images().float())
    assert found.dtype == expected.dtype
    exact = ours(images().float())
    assert (found - exact).norm() < 0.03 * exact.norm()
    assert twin.transformer.last(torch.zeros(0, 5, 12)).shape == (0, 1, 12)


def changes(made: VisionTransformer) -> dict[str, Callable[[], object]]:
    """What a user may do to a tower that is not in its class."""
    block = made.transformer.resblocks[-1]
    return {
        "hook": lambda: block.register_forward_hook(lambda module, given, out: out),
        "hook of a part": lambda: block.mlp.c_fc.register_forward_pre_hook(lambda module, given: None),
        "method of the block": lambda: setattr(block, "attention", lambda **given: given["q_x"]),
        "hook of the transformer": lambda: made.transformer.register_forward_hook(lambda module, given, out: 2 * out),
        "method of the transformer": lambda: setattr(made.transformer, "forward", lambda x: x),
        "method of the tower": lambda: setattr(made, "_pool", lambda x: (x[:, 1], x)),
        "activation": lambda: setattr(block.mlp, "gelu", nn.SiLU()),
        "keys of their own": lambda: setattr(block, "attn", nn.MultiheadAttention(12, 3, kdim=12, vdim=6)),
        "bias of keys": lambda: setattr(
            block, "attn", nn.MultiheadAttention(12, 3, add_bias_kv=True, batch_first=True)
        ),
        "no bias": lambda: setattr(block, "attn", nn.MultiheadAttention(12, 3, bias=False, batch_first=True)),
        "zero attention": lambda: setattr(block.attn, "add_zero_attn", True),
        "tokens": lambda: setattr(made, "output_tokens", True),
    }


@pytest.mark.parametrize("change", changes(tower()))
def test_towers_that_were_changed_stay(change: str) -> None:
    made = tower()
    assert isinstance(with_class_token_alone(copy.deepcopy(made)).transformer, ClassTokenTransformer)
    changes(made)[change]()
    assert not isinstance(with_class_token_alone(made).transformer, ClassTokenTransformer)


@pytest.mark.parametrize(
    "given", [{"pool_type": "avg"}, {"attentional_pool": True, "attn_pooler_heads": 1}, {"qk_norm": True}]
)
def test_other_towers_stay(given: dict[str, Any]) -> None:
    made = tower(**given)
    twin = inference_copy(made)
    assert not isinstance(twin.transformer, ClassTokenTransformer)
    torch.testing.assert_close(twin(images()), made(images()))
