"""Which function runs each stage: a module is imported when its stage is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from otrainer.stages.outcome import Outcome
    from otrainer.storage.experiments import Experiment

STAGES = {
    "resolve": "otrainer.stages.resolve:resolve",
    "examine": "otrainer.stages.resolve:examine",
    "manifest": "otrainer.stages.manifest:manifest",
    "validate": "otrainer.stages.validate:validate",
    "fit": "otrainer.stages.fit.stage:fit",
    "fit-anew": "otrainer.stages.fit.stage:fit_anew",
    "resume": "otrainer.stages.resume:resume",
    "evaluate": "otrainer.stages.evaluate.stage:evaluate",
    "schema": "otrainer.commands.schema.stage:schema",
    "verify-resume": "otrainer.commands.verify_resume:verify_resume",
    "show-model": "otrainer.commands.show_model:show_model",
    "explain-keys": "otrainer.commands.explain.stage:explain_keys",
}


def run_stage(stage: str, experiment: Experiment, *, root: Path, asked: Mapping[str, Any] | None = None) -> Outcome:
    """Run a stage for an experiment; `asked` is what the command line says of it, where a stage takes that.

    Raises ConfigError with everything that is wrong in the user's files, and whatever the user's code raises.
    """
    from otrainer.config.limits import room_beyond

    module, _, function = STAGES[stage].partition(":")
    with room_beyond():
        more = {} if asked is None else {"asked": asked}
        outcome: Outcome = getattr(import_module(module), function)(experiment, root, **more)
    return outcome
