"""Flat-LoRA: zero-mean noise on the full merged weight, so that LoRA finds flat minima (arXiv 2409.14396).

The noise lives in the forward pass. Evaluation, saving, merging and passes with the adapter off read the clean weight, which stays
bit-identical by construction.
"""

from luthier.train.flat.backends import BACKENDS
from luthier.train.flat.callback import FlatLoraCallback
from luthier.train.flat.law import merged_row_norms, noise_scale, ramp
from luthier.train.flat.noise import FlatNoise

__all__ = ["BACKENDS", "FlatLoraCallback", "FlatNoise", "merged_row_norms", "noise_scale", "ramp"]
