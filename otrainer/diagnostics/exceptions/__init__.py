"""Report exceptions: what they say, and which lines of the user's own code are behind them."""

from __future__ import annotations

from otrainer.diagnostics.exceptions.misspelt import name_meant
from otrainer.diagnostics.exceptions.raised import Raised
from otrainer.diagnostics.exceptions.report import (
    MEND,
    WHOLE,
    Related,
    callers_of,
    cannot_write,
    led_by,
    own_lines,
    place_of_failure,
    unexplained,
)
from otrainer.diagnostics.exceptions.traceback import Step

__all__ = [
    "MEND",
    "WHOLE",
    "Raised",
    "Related",
    "Step",
    "callers_of",
    "cannot_write",
    "led_by",
    "name_meant",
    "own_lines",
    "place_of_failure",
    "unexplained",
]
