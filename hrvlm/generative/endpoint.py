"""Models behind a server that speaks OpenAI's protocol, such as vLLM's, as generators.

A server takes pictures as files, so noisy copies leave as 8-bit PNG: clipped to [0, 1] and rounded to multiples of
1/255. Both are done to x + noise, inside the base classifier: what is certified is the mode of
answer(round(clip(x + noise))), a fixed function of x + noise like any other, and the radius is about x before both.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from hrvlm.generative.decoding import Decoding
from hrvlm.generative.endpoint_client import EndpointAddress, EndpointClient, EndpointOptions
from hrvlm.generative.generator import Generator
from hrvlm.generative.transformers_model import DEFAULT_PROMPT

NO_CONTENT = object()
PICTURES = "PNG of 8 bits: clipped to [0, 1], rounded to multiples of 1/255"


class EndpointGenerator(Generator):
    """A model that a server runs; it is asked with temperature 0.

    The weights are the server's and have no digest here: records know the model by the name that the server gives it.
    """

    def __init__(
        self, address: EndpointAddress, *, prompt: str, decoding: Decoding, options: EndpointOptions | None = None
    ) -> None:
        """Asks the server which models it has.

        Args:
            address: Where it listens.
            prompt: What the model is asked, beside the picture, in a message of the user.
            decoding: Greedy; the length of answers is the server's `max_tokens`.
            options: How it is asked; None for the defaults.

        Raises:
            ValueError: If decoding is random, or the server cannot be reached or has not the one model.
        """
        if decoding.random:
            raise ValueError(
                f"expected greedy decoding with a server, got temperature {decoding.temperature:g}: the random numbers "
                "of its answers have no address, so rows could not be made again"
            )
        self.client = EndpointClient(address, options or EndpointOptions())
        self.served = _served(self.client)
        super().__init__(name=self.served["id"], prompt=prompt, decoding=decoding)

    @torch.no_grad()
    def generate(self, images: Tensor, uniforms: Tensor | None = None) -> list[str]:
        """See `Generator.generate`; pictures are clipped and rounded.

        Raises:
            ValueError: If images do not fit, or the server gives no answers.
        """
        self.check_inputs(images, uniforms)
        return self.client.ask_all(self._answer, list(eight_bit(images).cpu()))

    def describe(self) -> dict[str, Any]:
        """What records keep: what the server says of its model, and how pictures reach it."""
        served = {key: self.served[key] for key in ("id", "root") if self.served.get(key) is not None}
        described = {"name": self.name, "prompt": self.prompt, "decoding": self.decoding.to_row()}
        return described | {"endpoint": served, "pictures": PICTURES}

    def _answer(self, picture: Tensor) -> str:
        shown = {"type": "image_url", "image_url": {"url": data_address(picture)}}
        asked = {"type": "text", "text": self.prompt}
        body = {
            "model": self.served["id"],
            "messages": [{"role": "user", "content": [shown, asked]}],
            "max_tokens": self.decoding.max_new_tokens,
            "temperature": 0.0,
        }
        reply = self.client.ask("/chat/completions", body)
        content: Any = NO_CONTENT
        with suppress(KeyError, IndexError, TypeError):
            content = reply["choices"][0]["message"]["content"]
        if content is not None and not isinstance(content, str):
            raise ValueError(
                f"expected choices[0].message.content as text from the server at {self.client.address}, got "
                f"{repr(reply)[:200]}"
            )
        return (content or "").strip()


def eight_bit(images: Tensor) -> Tensor:
    """Pictures (..., 3, H, W) as uint8 from 0 to 255: clipped to [0, 1], then rounded to the nearest, halves to even.

    NaN becomes 0.
    """
    return images.nan_to_num(nan=0.0).clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8)


def data_address(picture: Tensor) -> str:
    """A picture (3, H, W), uint8, as the data address of its PNG file."""
    file = BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def load_endpoint(
    path: str, *, prompt: str | None, decoding: Decoding, options: EndpointOptions | None = None
) -> EndpointGenerator:
    """The model of a server; see `EndpointAddress.of` for the path, and `EndpointGenerator`."""
    question = DEFAULT_PROMPT if prompt is None else prompt
    return EndpointGenerator(EndpointAddress.of(path), prompt=question, decoding=decoding, options=options)


def _served(client: EndpointClient) -> Mapping[str, Any]:
    """What the server says of the model that is asked for."""
    reply = client.ask_all(client.ask, ["/models"])[0]
    models = reply.get("data") if isinstance(reply, dict) else None
    if not isinstance(models, list) or not all(isinstance(m, dict) and isinstance(m.get("id"), str) for m in models):
        raise ValueError(f"expected a list of models from the server at {client.address}, got {repr(reply)[:200]}")
    wanted = client.address.model
    found = [model for model in models if wanted in (None, model["id"])]
    if len(found) != 1:
        names = ", ".join(model["id"] for model in models[:10]) or "none"
        asked = 'one model, or its name as "#MODEL" behind the address' if wanted is None else f"the model {wanted!r}"
        raise ValueError(f"expected {asked} at the server {client.address}, it serves {names}")
    return found[0]
