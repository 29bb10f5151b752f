"""Denoisers before a model: a smoothed classifier out of one that never saw noise."""

from hrvlm.models.denoisers.denoised import Denoised, denoiser_of, removed_sigma
from hrvlm.models.denoisers.files import export_denoiser, load_denoiser
from hrvlm.models.denoisers.network import ConvolutionalDenoiser

__all__ = ["ConvolutionalDenoiser", "Denoised", "denoiser_of", "export_denoiser", "load_denoiser", "removed_sigma"]
