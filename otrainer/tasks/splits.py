"""Judge what a command line asks of an evaluation: on which split of the data, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from otrainer.errors import ConfigError, Finding, nearest
from otrainer.stages.named_sets import named_sets
from otrainer.storage.runs.evaluations import FORMS, SPLITS

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.storage.experiments import Experiment
    from otrainer.tasks.commandline import CommandLine

BUILT_IN = "data."


def evaluation_mistakes(line: CommandLine, experiments: Sequence[Experiment], root: Path) -> Iterator[Finding]:
    """Yield what is wrong with what is asked of an evaluation of these experiments."""
    split, kept = line.variables.get("SPLIT", SPLITS[0]), line.variables.get("PREDICTIONS", "")
    if split not in SPLITS:
        for each in experiments or (None,):
            there_are = SPLITS if each is None else splits_of(each, root)
            if there_are is not None and split not in there_are:
                message, hint = f"There is no split `{split}`.", f"There are {', '.join(there_are)}."
                yield Finding(message, "unknown split", suggestions=nearest(split, there_are), hint=hint)
    if kept not in ("", "0", "1", *FORMS):
        message, near = f"Predictions are kept as {' or '.join(FORMS)}, not as `{kept}`.", nearest(kept, FORMS)
        hint = f"`PREDICTIONS=1` keeps what the model gives for each sample, as {FORMS[0]}."
        yield Finding(message, "unclear question", suggestions=near, hint=hint)


def splits_of(experiment: Experiment, root: Path) -> Sequence[str] | None:
    """Return the splits that an experiment may be judged on; None where its own data module alone knows them."""
    from otrainer.config import resolve_config  # only for whoever names a split that not all data have

    try:
        data = resolve_config(root / experiment.file, root=root).data.get("data")
    except ConfigError:  # which is told when it is resolved
        return SPLITS
    if not isinstance(data, Mapping):
        return SPLITS
    if not str(data.get("_type_")).startswith(BUILT_IN):
        return None
    return (*SPLITS, *named_sets(data))
