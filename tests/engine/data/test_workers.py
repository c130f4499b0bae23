"""Data workers that are no forks know what their parent does."""

from __future__ import annotations

import pickle

from otrainer.diagnostics.redaction.values import forget, masked, remember
from otrainer.engine.data.workers import Undisturbed


def test_a_worker_that_is_no_fork_prints_no_secret() -> None:
    """What it is started with tells it which there are, and shows none itself."""
    remember({"PW": "hunter2-xyz"})
    started = Undisturbed()
    sent = pickle.dumps(started)
    forget()
    pickle.loads(sent)(0)  # noqa: S301 - ours, of a moment ago
    assert masked("<hunter2-xyz>") == "<${secret:PW}>"
    assert "hunter2" not in repr(started)
