"""A small project of its own for each test; what doit leaves running is killed."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import suppress

import pytest

from .processes import REPO, SmallProject


@pytest.fixture
def project(tmp_path):
    """A project with one experiment, `a`."""
    root = tmp_path / "project"
    root.mkdir()
    shutil.copy(REPO / "dodo.py", root)
    small = SmallProject(root)
    small.write("a")
    return small


@pytest.fixture
def running(project):
    """Start doit and read up to a line; whatever is left of it is killed at the end."""
    started = []

    def run(*words, until):
        process = project.start(*words)
        started.append(process)
        for line in process.stdout:
            if line.strip() == until:
                return process
        raise AssertionError(f"doit ended before it said {until!r}: {process.stderr.read()}")

    yield run
    for process in started:
        with suppress(ProcessLookupError):  # its children may outlive it, and hold the pipes that are read here
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
