"""A project to try things in: a copy of what the repository ships, as the working directory."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The processes that tests start would each compile the whole package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# As many tests run at once as there are cores, and threads of torch that wait for a core compute all the while.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A busy machine is no mistake, and the same code is tried on the same draws: what fails is of a change. For others:
# `--hypothesis-profile=anew`.
BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, **BUSY)
settings.register_profile("anew", **BUSY)
settings.load_profile("same")
# A shell has what it starts in the background ignore Ctrl-C, and so would every training that is to be stopped by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Each file is run by one process: the long ones begin first, so that none is left over when the others are done.
LONG = (
    "test_signals.py", "test_readme.py", "test_own.py", "test_kills.py", "test_code.py", "test_worlds.py",
    "test_continuing.py", "test_evaluate.py", "test_verify_resume.py", "test_agreement.py", "test_why.py",
    "test_exact.py", "test_bombs.py", "test_soundness.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(autouse=True)
def no_secrets() -> Iterator[None]:
    """What a test reads as a secret is none to the next one."""
    yield
    if "otrainer.diagnostics.redaction.values" in sys.modules:
        sys.modules["otrainer.diagnostics.redaction.values"].forget()


@pytest.fixture(autouse=True)
def warnings_are_told() -> Iterator[None]:
    """A campaign that ran in this process silences them for itself alone."""
    level = logging.getLogger("otrainer").level
    yield
    logging.getLogger("otrainer").setLevel(level)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the copy; its plugins are imported afresh."""
    from projects import shipped

    shipped(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "extensions"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project outside of any repository after training its `a`, for tests to copy."""
    from trained import lay_out, train

    root = lay_out(tmp_path_factory.mktemp("original"))
    train(root)
    return root
