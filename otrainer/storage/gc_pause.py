"""Many objects that all stay, without the passes of the cyclic garbage collector over them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from otrainer.storage import process_memory

FROZEN = "collector_frozen"


def keep_all() -> None:
    """Let the collector leave alone, for good, what there is now: for a process that has imported what it needs."""
    gc.freeze()
    # `gc.get_freeze_count` would go through all that is kept each time that it is asked.
    process_memory.put(FROZEN, True)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the collector: its passes over many live objects would cost more than all the work."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if not process_memory.get(FROZEN, bool):
                # What was made counts as old from now on; else all of it would be gone through at once here.
                gc.freeze()
                gc.unfreeze()
            gc.enable()
