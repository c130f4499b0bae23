"""What people ask: why, show, explain, diff, audit, runs, prune. Nothing here executes a stage."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from otrainer.errors import ConfigError, Finding
from otrainer.stages.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from otrainer.storage.experiments import Experiment


class Question(NamedTuple):
    """What was asked on the command line: the `experiments` that EXP names, in order, and all `variables` set, as text.

    `ask(stage, experiment, asked=...)` runs a stage in a process that may import torch; not all are `asked` for more.
    """

    root: Path
    experiments: tuple[Experiment, ...]
    variables: Mapping[str, str]
    ask: Callable[..., Outcome]


def answer(query: str, question: Question) -> Outcome:
    """Answer a question: return the outcome; a mistake in the question is a finding of it."""
    from otrainer.config.limits import (
        room_beyond,
        room_for_files,
    )  # loads all of config, which a check that nothing changed needs not

    try:
        with room_beyond(), room_for_files():
            found: str | Outcome = getattr(import_module(f"otrainer.commands.{query}"), query)(question)
    except ConfigError as error:
        return Outcome.failed(error.findings)
    except OSError as error:
        message, hint = f"`{error.filename}`: {error.strerror}.", "Let this user read and write it, and ask again."
        return Outcome.failed([Finding(message, "cannot read or write", hint=hint)])
    return found if isinstance(found, Outcome) else Outcome(report=found)
