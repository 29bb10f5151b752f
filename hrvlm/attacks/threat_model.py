"""The threat model as a value: which norm, which budget, which pixel bounds, and how to stay inside them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hrvlm.attacks.norms import NORMS, Norm
from hrvlm.attacks.randomness import PerImageGenerator

_HINT = "divide numbers from 0 to 255 by 255"


@dataclass(frozen=True)
class ThreatModel:
    """What an attacker may do to an image.

    Shapes: images and perturbations `(N, ...)`, usually `(N, 3, H, W)`; a norm is taken per image over the rest.

    Attributes:
        norm: "linf" (largest change of a pixel channel) or "l2" (Euclidean norm of the change of the whole image).
        eps: Budget >= 0 in pixel units, where images lie in [0, 1]: peers' "1/255" is 1/255 = 0.00392 here.
        bounds: Smallest and largest pixel value.

    Raises:
        ValueError: If the norm is unknown, the bounds are no interval, or the budget is negative, not finite, or (for
            linf) wider than the bounds.
    """

    norm: Norm = "linf"
    eps: float = 1.0 / 255.0
    bounds: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ValueError(f"expected norm to be one of {', '.join(NORMS)}, got {self.norm!r}")
        object.__setattr__(self, "bounds", tuple(self.bounds))
        if len(self.bounds) != 2 or not -math.inf < self.bounds[0] < self.bounds[1] < math.inf:
            raise ValueError(
                f"expected bounds (low, high) with low < high, got {self.bounds}: pixels lie in (0.0, 1.0)"
            )
        if not 0.0 <= self.eps < math.inf:
            raise ValueError(
                f"expected eps >= 0 and finite, got {self.eps}: give the budget in pixel units, such as 1/255"
            )
        if self.norm == "linf" and self.eps > self.bounds[1] - self.bounds[0]:
            width = self.bounds[1] - self.bounds[0]
            raise ValueError(
                f"expected eps <= {width:g} for linf, got {self.eps}: eps is in pixel units, write {self.eps:g}/255"
            )

    def check_unit(self) -> ThreatModel:
        """Itself, for those who know of pixels in [0, 1] only.

        Raises:
            ValueError: If its bounds are others.
        """
        if self.bounds != (0.0, 1.0):
            raise ValueError(f"expected bounds (0.0, 1.0) of the threat model, got {self.bounds}: images lie in [0, 1]")
        return self

    def project(self, perturbation: Tensor, images: Tensor) -> Tensor:
        """Nearest-norm projection into the budget, then into the pixel bounds, which never leaves the budget again.

        Args:
            perturbation: Change of the images, shape of `images`.
            images: Clean images within the bounds.

        Returns:
            The perturbation δ with ‖δ‖ <= eps and images + δ within the bounds.
        """
        if self.norm == "linf":
            perturbation = perturbation.clamp(-self.eps, self.eps)
        else:
            norm = self._l2(perturbation)
            perturbation = torch.where(norm > self.eps, perturbation * (self.eps / norm.clamp_min(1e-30)), perturbation)
        return torch.clamp(images + perturbation, *self.bounds) - images

    def step(self, perturbation: Tensor, gradient: Tensor, step_size: float | Tensor) -> Tensor:
        """Steepest ascent in the norm: the gradient's sign for linf, its direction per image for l2 (none if zero).

        Args:
            perturbation: Current perturbation.
            gradient: Gradient of the loss, same shape.
            step_size: Length of the step in pixel units, in this norm; of each image for itself as `(N, 1, ...)`.

        Returns:
            The moved perturbation, not yet projected.
        """
        if self.norm == "linf":
            return perturbation + step_size * gradient.sign()
        # Scale by the largest entry first: gradients of a well-trained model square to less than float32 holds.
        largest = gradient.abs().flatten(1).amax(dim=1).view(self._per_image(gradient)).clamp_min(1e-30)
        scaled = gradient / largest
        return perturbation + step_size * scaled / self._l2(scaled).clamp_min(1e-30)

    def random_start(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """A perturbation drawn uniformly from the budget, then cut to the bounds.

        Args:
            images: Clean images.
            generator: Source of randomness; on another device than the images it is drawn there and moved. One stream
                per image (`PerImageGenerator`) gives each image the start that it would have alone.

        Returns:
            Perturbation of the shape and dtype of `images`.
        """
        if isinstance(generator, PerImageGenerator):
            pairs = zip(images.split(1), generator.streams, strict=True)
            return torch.cat([self.random_start(image, stream) for image, stream in pairs])
        if self.norm == "linf":
            start = self.eps * (2.0 * torch.rand(images.shape, generator=generator, device=generator.device) - 1.0)
        else:
            direction = torch.randn(images.shape, generator=generator, device=generator.device)
            uniform = torch.rand(len(images), generator=generator, device=generator.device).view(
                self._per_image(images)
            )
            radius = self.eps * uniform ** (1.0 / max(images[0].numel(), 1)) if len(images) else uniform
            start = radius * direction / self._l2(direction).clamp_min(1e-30)
        return self.project(start.to(device=images.device, dtype=images.dtype), images)

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """Distance `(N,)` of two batches of images in this norm, in pixel units."""
        difference = (first - second).flatten(1)
        if self.norm == "linf":
            return difference.abs().amax(dim=1)
        return torch.linalg.vector_norm(difference, dim=1)

    def check(self, adversarial: Tensor, images: Tensor) -> None:
        """Assert that adversarial images keep the budget and the bounds, up to rounding of the sum images + δ."""
        # One rounding of each pixel of the sum: half an eps of the dtype times the largest pixel, per image for l2.
        pixels = 1 if self.norm == "linf" else math.sqrt(max(images.numel() // max(len(images), 1), 1))
        slack = 2.0 * torch.finfo(images.dtype).eps * max(1.0, abs(self.bounds[0]), abs(self.bounds[1])) * pixels
        within = self.distance(adversarial, images) <= self.eps * (1.0 + 1e-5) + slack
        inside = (adversarial >= self.bounds[0]) & (adversarial <= self.bounds[1])
        assert bool(within.all()), "an adversarial image left the budget"
        assert bool(inside.all()), "an adversarial image left the pixel bounds"

    def check_images(self, images: Tensor) -> None:
        """Refuse images that are not a batch of floating-point pixels within the bounds.

        Raises:
            ValueError: If the type or shape is wrong, or a pixel is out of bounds or NaN.
        """
        if not images.is_floating_point() or images.ndim < 2:
            raise ValueError(
                f"expected images (N, ...) of a floating-point type, got {tuple(images.shape)} {images.dtype}; {_HINT}"
            )
        low, high = self.bounds
        if not bool(((images >= low) & (images <= high)).all()):
            found = f"{float(images.min()):g} to {float(images.max()):g}"
            raise ValueError(
                f"expected images in [{low:g}, {high:g}], got {found}: attack pixels, not normalised images; {_HINT}"
            )

    @staticmethod
    def _per_image(images: Tensor) -> tuple[int, ...]:
        return (len(images),) + (1,) * (images.ndim - 1)

    def _l2(self, images: Tensor) -> Tensor:
        return torch.linalg.vector_norm(images.flatten(1), dim=1).view(self._per_image(images))
