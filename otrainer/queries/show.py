"""`doit show`: an experiment's config as its files are now, each value with its origin."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from otrainer.config import resolve_config
from otrainer.errors import ConfigError, Finding
from otrainer.listing import annotated

if TYPE_CHECKING:
    from otrainer.config import ResolvedConfig
    from otrainer.tasks.experiments import Experiment
    from otrainer.tasks.question import Question

DIM, RESET = "\x1b[2m", "\x1b[0m"


def show(question: Question) -> str:
    """The listings of the experiments, under their names where there are several.

    Raises ConfigError with all mistakes of those that do not resolve, after what can be listed of them was printed.
    """
    parts: list[str] = []
    findings: list[Finding] = []
    for experiment in question.experiments:
        config, error = resolved_now(experiment, question)
        if error is not None:
            findings += error.findings
        if config is not None:
            head = f"# {experiment.name}\n" if len(question.experiments) > 1 else ""
            parts.append(head + dimmed(annotated(config.data, config.source_map)).rstrip("\n"))
    text = "\n\n".join(parts)
    if findings:
        print(text, flush=True)
        raise ConfigError.of(findings)
    return text


def resolved_now(experiment: Experiment, question: Question) -> tuple[ResolvedConfig | None, ConfigError | None]:
    """The config as the files are now; where that has mistakes, what there is of it, and them."""
    try:
        return resolve_config(question.root / experiment.file, root=question.root), None
    except ConfigError as error:
        return getattr(error, "partial", None), error


def dimmed(text: str) -> str:
    """The same with faint comments where a person reads it."""
    if not sys.stdout.isatty():
        return text
    lines = (line.rpartition("  # ") for line in text.splitlines())
    return "\n".join(f"{head}{DIM}{mark}{note}{RESET}" if mark else note for head, mark, note in lines)
