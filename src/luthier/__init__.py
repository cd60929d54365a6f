"""Luthier: post-training for open language models, with the evidence."""

__version__ = "0.1.0"
