"""Chooses data: rows that say the most in the fewest bytes, and how redundant a set of rows is."""

import sys

from luthier.doors import CallableModule
from luthier.select.selection import Selection, select
from luthier.select.settings import METHODS, SelectSettings
from luthier.select.zip import compression_ratio, own_ratios, zip_select

__all__ = ["METHODS", "SelectSettings", "Selection", "compression_ratio", "own_ratios", "select", "zip_select"]

sys.modules[__name__].__class__ = CallableModule
