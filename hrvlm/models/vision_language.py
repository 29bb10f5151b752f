"""One pixel interface around an open_clip model: resizing and normalisation are inside, nothing else normalises."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrvlm.models.companions import companion_files
from hrvlm.models.kept_texts import KeptTexts
from hrvlm.models.pixels import check_images
from hrvlm.models.prompts import check_distinct_tokens, tell_cut_texts
from hrvlm.models.single_products import with_single_products

Tokenizer = Callable[[list[str]], Tensor]
_PROJECTIONS = ("text_projection", "proj")  # of open_clip's own text towers, and of those of Hugging Face


class VisionLanguageModel(nn.Module):
    """A CLIP model on images in [0, 1].

    Attacks, smoothing and certificates all see this module: budgets and radii are in the pixels given to it, before its
    resizing. Mean and standard deviation are those of the wrapped model's own preprocessing.
    """

    def __init__(self, clip: Any, tokenizer: Tokenizer, *, name: str, config: dict[str, Any]) -> None:
        """Wraps a model.

        Args:
            clip: An open_clip `CLIP`, `CustomTextCLIP` or `CoCa`.
            tokenizer: Texts to token ids (K, context length).
            name: What to call it in records.
            config: open_clip's description, {"model_cfg": …, "preprocess_cfg": …}; primitives only.
        """
        super().__init__()
        self.clip = clip
        self.clip.visual.to(memory_format=torch.channels_last)  # convolutions are faster so
        with_single_products(self.clip)
        self.tokenizer = tokenizer
        self.name = name
        self.config = config
        self._texts = KeptTexts()
        preprocess = config["preprocess_cfg"]
        size = self.clip.visual.image_size
        self.image_size: tuple[int, int] = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        # As open_clip's own evaluation transform: everything but "bilinear" is bicubic.
        self.interpolation = "bilinear" if preprocess.get("interpolation") == "bilinear" else "bicubic"
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(preprocess["mean"])[None, :, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(preprocess["std"])[None, :, None, None], persistent=False)

    @property
    def embed_dim(self) -> int:
        """Width of the shared embedding space."""
        owner, name = self._text_projection()
        projection = getattr(owner, name)
        if isinstance(projection, nn.Linear):
            return projection.out_features
        return int(owner.output_dim) if isinstance(projection, nn.Module) else int(projection.shape[1])

    @property
    def files(self) -> dict[str, str]:
        """What the model needs beside its description, as texts by name; see `companions`."""
        return companion_files(self.clip, self.tokenizer)

    @property
    def logit_scale(self) -> Tensor:
        """Inverse temperature of the cosine classifier."""
        scale: Tensor = self.clip.logit_scale.exp()
        return scale

    def preprocess(self, images: Tensor) -> Tensor:
        """Resizes and normalises images (N, 3, H, W) in [0, 1]; differentiable.

        Raises:
            ValueError: If the shape is not (N, 3, H, W), or pixels are integers.
        """
        check_images(images)
        if tuple(images.shape[2:]) != self.image_size:
            size, mode = self.image_size, self.interpolation
            images = F.interpolate(images, size, mode=mode, antialias=True, align_corners=False)
        return ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def encode_image(self, images: Tensor) -> Tensor:
        """Un-normalised image features, (N, 3, H, W) in [0, 1] to (N, D)."""
        features: Tensor = self.clip.encode_image(self.preprocess(images), normalize=False)  # CoCa's default is another
        return features

    def image_features(self, images: Tensor) -> Tensor:
        """Image features of unit norm, (N, 3, H, W) in [0, 1] to (N, D)."""
        return F.normalize(self.encode_image(images), dim=-1)

    def frozen_image_tower(self) -> VisionLanguageModel:
        """A copy of the image side as it is now: in evaluation mode, without gradients and without a text tower."""
        clip = ImageSide(copy.deepcopy(self.clip.visual))
        tower = VisionLanguageModel(clip, self.tokenizer, name=self.name, config=self.config)
        return tower.to(self.mean.device).requires_grad_(False).eval()

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Token ids (K, context length) on the model's device; says which texts are longer than that, each once.

        Raises:
            ValueError: For a single text, which would be taken for a list of letters.
        """
        if isinstance(texts, str):
            raise ValueError(f"expected a list of texts, got the single text {texts!r}; write [{texts!r}]")
        tokens = self.tokenizer(list(texts))
        if len(texts):
            tell_cut_texts(self.tokenizer, texts, tokens)
        return tokens.to(self.mean.device)

    def check_prompts(self, texts: Sequence[str], what: str) -> None:
        """Refuses texts of which two are the same to the model; see `check_distinct_tokens`.

        Raises:
            ValueError: Naming two such texts.
        """
        check_distinct_tokens(self.tokenize(texts), texts, what)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Un-normalised text features (K, D), with gradient."""
        features: Tensor = self.clip.encode_text(self.tokenize(texts), normalize=False)
        return features

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Text features of unit norm, (K, D)."""
        return F.normalize(self.encode_text(texts), dim=-1)

    @torch.no_grad()
    def text_hidden(self, texts: Sequence[str]) -> Tensor:
        """Output of the text tower before its projection, (K, W): kept while the tower is not trained."""
        if isinstance(texts, str) or self.clip.training:
            return self._text_hidden(texts)
        return self._texts.of(texts, self._text_tower(), lambda: self._text_hidden(texts))

    def _text_hidden(self, texts: Sequence[str]) -> Tensor:
        with _without_projection(*self._text_projection()):
            hidden: Tensor = self.clip.encode_text(self.tokenize(texts), normalize=False)
        return hidden

    def _text_tower(self) -> list[nn.Parameter]:
        """What texts go through before the projection."""
        other = {id(part) for part in (*self.clip.visual.parameters(), *self.text_projection_parameters())}
        return [part for part in self.clip.parameters() if id(part) not in other and part is not self.clip.logit_scale]

    def project_text(self, hidden: Tensor) -> Tensor:
        """Applies the text projection, (K, W) to un-normalised text features (K, D)."""
        owner, name = self._text_projection()
        projection = getattr(owner, name)
        projected: Tensor = projection(hidden) if isinstance(projection, nn.Module) else hidden @ projection
        return projected

    def text_projection_parameters(self) -> list[nn.Parameter]:
        """What fine-tuning trains of the text tower."""
        owner, name = self._text_projection()
        projection = getattr(owner, name)
        return list(projection.parameters()) if isinstance(projection, nn.Module) else [projection]

    def _text_projection(self) -> tuple[Any, str]:
        """The module that holds the text projection, the model itself or its `text` tower, and its name there."""
        owner = getattr(self.clip, "text", self.clip)
        found = next((name for name in _PROJECTIONS if getattr(owner, name, None) is not None), None)
        if found is None:
            raise ValueError(f"expected a text tower with a linear projection, got {type(owner).__name__} without one")
        return owner, found


class ImageSide(nn.Module):
    """What image features are made of, in the place of a whole CLIP model."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def encode_image(self, images: Tensor, normalize: bool = False) -> Tensor:
        """As open_clip's models do it; CoCa's towers give tokens beside the features."""
        found: Tensor | tuple[Tensor, Tensor] = self.visual(images)
        features = found[0] if isinstance(found, tuple) else found
        return F.normalize(features, dim=-1) if normalize else features


@contextmanager
def _without_projection(owner: Any, name: str) -> Iterator[None]:
    """Lets open_clip's own encode_text stop before the projection, whatever its pooling."""
    projection = getattr(owner, name)
    setattr(owner, name, None if name == "text_projection" else nn.Identity())
    try:
        yield
    finally:
        setattr(owner, name, projection)
