"""Chooses data: rows that say the most in the fewest bytes, and how redundant a set of rows is."""

from luthier.select.zip import compression_ratio, own_ratios, zip_select

__all__ = ["compression_ratio", "own_ratios", "zip_select"]
