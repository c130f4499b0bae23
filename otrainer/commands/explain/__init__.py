"""`doit explain`: what each component, op and section is, with all arguments and an example, from the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otrainer.errors import ConfigError
from otrainer.storage.experiments import ALL

if TYPE_CHECKING:
    from otrainer.commands import Question
    from otrainer.stages.outcome import Outcome


def explain(question: Question) -> Outcome:
    """Return what KEY names, or a list of all there is, found where torch may be imported.

    The plugins are those of the experiment; without one, those that were loaded for any so far.
    Raises ConfigError where several experiments are named.
    """
    if len(question.experiments) > 1:
        names = ", ".join(each.name for each in question.experiments)
        hint = "Name one, or none for the plugins of all."
        raise ConfigError(f"EXP names several experiments: {names}.", title="several experiments", hint=hint)
    experiment = next(iter(question.experiments), ALL)
    return question.ask("explain-keys", experiment, asked=dict(question.variables))
