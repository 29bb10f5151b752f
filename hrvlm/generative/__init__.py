"""Generative vision-language models behind one interface: noisy pictures in, texts out; and judges of the texts."""

from hrvlm.generative.decoding import Decoding, choose_tokens, token_probabilities
from hrvlm.generative.generator import Generator, weights_digest
from hrvlm.generative.loading import load_generator

__all__ = ["Decoding", "Generator", "choose_tokens", "load_generator", "token_probabilities", "weights_digest"]
