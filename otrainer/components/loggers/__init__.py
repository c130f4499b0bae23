"""The built-in loggers."""

from __future__ import annotations

from otrainer.components.loggers.json_lines import JsonLinesLogger
from otrainer.components.loggers.stdout import StdoutLogger

__all__ = ["JsonLinesLogger", "StdoutLogger"]
