"""Findings as people and tools read them: drawn for a terminal or a log, or written as JSON or SARIF.

Nothing here but `say` is imported before there is a mistake to tell.
"""

from __future__ import annotations
