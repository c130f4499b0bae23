"""What a package does, found by running it: every component's values, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

# Each of the many processes that are forked here would import these anew.
from otrainer.config.settings import Settings
from otrainer.errors import ConfigError
from otrainer.registry import Registry, load_plugins

INPUTS = (1, 2, 5)
# An edit may make a loop endless; then it is one that fails.
TIMEOUT_S = 10


def write(folder: Path, name: str, texts: dict[str, str]) -> None:
    """The files of a package; those that are not in `texts` are gone."""
    for module, text in texts.items():
        path = folder / name / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def behaviour(folder: Path, name: str, plugins: tuple[str, ...]) -> dict[str, str] | None:
    """The values of each component as text; None where importing or registering fails."""
    text = in_child(lambda: json.dumps(observed(folder, name, plugins)))
    return json.loads(text) if text else None


def in_child(work: Callable[[], str]) -> str:
    """What `work` gives in a process forked for it; nothing if that dies or takes too long."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(TIMEOUT_S)
        os.close(reading)
        try:
            with os.fdopen(writing, "w") as out:
                out.write(work())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def observed(folder: Path, name: str, plugins: tuple[str, ...]) -> dict[str, str] | None:
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
    registry = Registry()
    try:
        load_plugins(
            [f"{name}.{plugin}" for plugin in plugins],
            registry=registry,
            settings=Settings(allowed_import_prefixes=(f"{name}.",)),
        )
    except (ConfigError, RecursionError):
        return None
    targets = {key: registry.get_module(key).target for key in registry.list_modules()}
    # Each on its own: what one component does to another when it runs is no part of that other one's code.
    return {key: in_child(partial(values_of, target)) for key, target in targets.items()}


def values_of(target) -> str:
    """A component's values, or how asking for them fails."""
    found = []
    for x in INPUTS:
        try:
            found.append(repr(target().value(x)))
        except Exception as error:
            found.append(type(error).__name__)
    return " ".join(found)
