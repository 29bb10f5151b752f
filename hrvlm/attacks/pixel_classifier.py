"""A classifier as torchattacks sees it, so that an attack can change nothing but the images.

torchattacks switches train and eval modes with one call for the whole model, calls `backward()` down to the parameters,
reads its device from them when it is built, writes into the scores it gets, and seeds the global random state. None of
it reaches what is attacked: it is handed a module without sub-modules whose gradient ends at the images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hrvlm.attacks.gradients import NonFiniteError
from hrvlm.attacks.perturbation import frozen_parameters
from hrvlm.models import evaluating, labels_of

Logits = Callable[[Tensor], Tensor]


class PixelClassifier(nn.Module):
    """Scores (N, K) of images, with a gradient for the images only.

    Scores are shifted per image so that the lowest is 1. No attack's aim depends on such a shift, but torchattacks' CW
    takes maxima over scores with some set to zero, and so has no gradient at all where every score is negative, as
    negative distances are.

    Attributes:
        queries: How many batches were asked for so far.
    """

    def __init__(self, logits: Logits, images: Tensor) -> None:
        """Wraps a classifier.

        Args:
            logits: Maps images (N, 3, H, W) in [0, 1] to scores (N, K).
            images: The images to be attacked; their device and type are those of every query.
        """
        super().__init__()
        # torchattacks reads its device from the first parameter; this one belongs to nothing.
        self.anchor = nn.Parameter(torch.zeros((), device=images.device), requires_grad=False)
        self.dtype = images.dtype
        self.queries = 0
        self._logits = (logits,)  # in a tuple, or a module would be registered and its modes changed
        self.eval()

    def scores(self, images: Tensor) -> Tensor:
        """Scores as the classifier gives them, in float32."""
        self.queries += 1
        return self._logits[0](images.to(self.dtype)).float()

    def checked_scores(self, images: Tensor) -> Tensor:
        """The same, for an attack that computes with them.

        Raises:
            NonFiniteError: If finite images get a score that is not; such an image is what attacks look for.
        """
        found = self.scores(images)
        if not bool(found.isfinite().all()) and bool(images.isfinite().all()):
            raise NonFiniteError("score", self.queries - 1, images)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Shifted scores; recorded for the backward pass only where it is asked for."""
        if torch.is_grad_enabled() and images.requires_grad:
            scores: Tensor = _GradientOfImages.apply(images, self)
        else:
            with torch.no_grad():
                scores = self.checked_scores(images)
        return scores - scores.detach().amin(dim=1, keepdim=True) + 1.0

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Labels (N,) by the scores as they are, not shifted; -1 where they are not finite."""
        return labels_of(self.scores(images))


class _GradientOfImages(torch.autograd.Function):
    """The classifier as one operation, whose backward pass takes the gradient for the images and for nothing else."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, classifier: PixelClassifier) -> Tensor:
        with torch.enable_grad():
            pixels = images.detach().requires_grad_()
            scores = classifier.checked_scores(pixels)
        if not scores.requires_grad:
            raise ValueError(
                "expected scores that depend on the images, got some without gradient: do not detach in the classifier"
            )
        ctx.pixels, ctx.scores, ctx.step = pixels, scores, classifier.queries
        return scores.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        # Kept: FAB without targets asks for the gradient of every class's score in turn.
        (gradient,) = torch.autograd.grad(ctx.scores, ctx.pixels, gradients[0], retain_graph=True)
        if not bool(gradient.isfinite().all()) and bool(ctx.pixels.isfinite().all()):
            raise NonFiniteError("image gradient", ctx.step, ctx.pixels)
        return gradient.contiguous(), None  # torchattacks takes views


@contextmanager
def undisturbed(logits: Logits, seed: int) -> Iterator[None]:
    """Runs an attack with gradients, eval mode, frozen parameters and a random state of its own; puts all of it back.

    Args:
        logits: The classifier; modules are found in a module, a module's method, and `functools.partial` of either.
        seed: Seed of the global random state inside, which torchattacks draws from.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    modules = modules_of(logits)
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.enter_context(evaluating(*modules))
        stack.enter_context(frozen_parameters(*modules))
        torch.manual_seed(seed)
        yield


def modules_of(logits: Callable[..., Any]) -> list[nn.Module]:
    """The modules that a classifier can be seen to run."""
    if isinstance(logits, nn.Module):
        return [logits]
    if isinstance(logits, partial):
        return modules_of(logits.func)
    owner = getattr(logits, "__self__", None)
    return [owner] if isinstance(owner, nn.Module) else []
