"""Standard deviations that noise on pixels may have."""

from __future__ import annotations

SMALLEST_SIGMA, LARGEST_SIGMA = 1e-4, 2.0
"""Of noise on pixels in [0, 1]: float32 pixels cannot hold less, and more leaves nothing of them."""


def check_sigma(sigma: float) -> None:
    """Refuse a standard deviation that pixels in [0, 1] cannot have; the numbers of others are in units of 1/255.

    Raises:
        ValueError: If it is out of range or no number.
    """
    if SMALLEST_SIGMA <= sigma <= LARGEST_SIGMA:
        return
    hint = f": write {sigma:g}/255 = {sigma / 255:.4g}" if LARGEST_SIGMA < sigma <= 255 else ""
    raise ValueError(
        f"expected sigma > 0 and finite, from {SMALLEST_SIGMA:g} to {LARGEST_SIGMA:g} in pixel units of [0, 1], got "
        f"{sigma}{hint}"
    )
