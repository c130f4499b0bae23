"""`doit show`: an experiment's config as its files are now, each value with its origin; what its model takes."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from otrainer.config import resolve_config
from otrainer.config.to_yaml import annotated
from otrainer.diagnostics.say import legible, say
from otrainer.errors import ConfigError, Finding
from otrainer.stages.outcome import Outcome

if TYPE_CHECKING:
    from otrainer.commands import Question
    from otrainer.config import ResolvedConfig

DIM, RESET = "\x1b[2m", "\x1b[0m"


def show(question: Question) -> str | Outcome:
    """Return the experiments' listings, or with MODEL=1 what their models take; under their names if there are several.

    Raises ConfigError with all mistakes of those that do not resolve, after what can be listed of them was printed,
    and for another value of MODEL.
    """
    asked = question.variables.get("MODEL", "")
    if asked not in ("", "1"):
        message, hint = f"`MODEL={asked}` is neither yes nor no.", "`MODEL=1` shows what the model takes."
        raise ConfigError(message, title="unclear question", hint=hint)
    return models(question) if asked else listings(question)


def models(question: Question) -> Outcome:
    """Return what each model takes, found where torch may be imported; mistakes come after all that is known."""
    outcomes = {experiment.name: question.ask("show-model", experiment) for experiment in question.experiments}
    several = len(outcomes) > 1
    reports = [f"# {name}\n{each.report}" if several else each.report for name, each in outcomes.items() if each.report]
    text, failed = "\n\n".join(reports), {name: each for name, each in outcomes.items() if each.findings}
    if not failed:
        return Outcome(report=text)
    if text:
        say(text, coloured=True)
    told = [replace(finding, experiments=(name,)) for name, each in failed.items() for finding in each.findings]
    return next(iter(failed.values()))._replace(findings=tuple(told))


def listings(question: Question) -> str:
    """List the configs as their files are now."""
    parts: list[str] = []
    findings: list[Finding] = []
    for experiment in question.experiments:
        config: ResolvedConfig | None
        try:
            config = resolve_config(question.root / experiment.file, root=question.root)
        except ConfigError as error:
            findings += error.findings
            config = getattr(error, "partial", None)  # what there is of it
        if config is not None:
            head = f"# {experiment.name}\n" if len(question.experiments) > 1 else ""
            parts.append(head + dimmed(legible(annotated(config.data, config.source_map))).rstrip("\n"))
    text = "\n\n".join(parts)
    if findings:
        say(text, coloured=True)
        raise ConfigError.of(findings)
    return text


def dimmed(text: str) -> str:
    """Make comments faint where a person reads the text."""
    if not sys.stdout.isatty():
        return text
    lines = (line.rpartition("  # ") for line in text.splitlines())
    return "\n".join(f"{head}{DIM}{mark}{note}{RESET}" if mark else note for head, mark, note in lines)
