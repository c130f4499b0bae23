"""Odd but valid Python 3.11, of which every version must make the same fingerprints; nothing here is ever run."""
from .strings import *
from . import numbers as numeric, patterns
__all__ = ["plain", "numeric"] + ["patterns"]
__all__ += patterns.__all__
