"""`doit audit`: every callable that an experiment's config reaches, before anything of it is imported or run."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from otrainer.commands.callables import Audit, Reached
from otrainer.commands.runs import width
from otrainer.config import resolve_config
from otrainer.diagnostics.say import in_a_line, say
from otrainer.errors import ConfigError
from otrainer.stages.definition import fingerprints

if TYPE_CHECKING:
    from otrainer.commands import Question
    from otrainer.fingerprint import Unseen
    from otrainer.storage.experiments import Experiment

WIDE = 10_000
GAP = "  "
NOT_FOLLOWED = "not followed by these"
BEYOND = """\
The code of a plugin is arbitrary Python: what it imports, reads, writes or
starts besides is up to it. A fingerprint covers all that is reached in the
project's own sources but for what is not followed; of what is installed, the
version is given."""


def audit(question: Question) -> str:
    """Return the list of each experiment, as text or, with FORMAT=json, as one JSON document.

    Raises ConfigError with everything that is refused, after the rest was printed.
    """
    audits = [(experiment, audited(experiment, question)) for experiment in question.experiments]
    listed = [(experiment, each, each.rows()) for experiment, each in audits]
    findings = [each.located(found.config.source_map) for _, found, _ in listed for each in found.findings]
    if question.variables.get("FORMAT") == "json":
        text = json.dumps([document(*each) for each in listed], indent=2)
    else:
        text = "\n\n".join([*("\n".join(lines(*each)) for each in listed), BEYOND])
    if findings:
        say(text)
        raise ConfigError.of(findings)
    return text


def audited(experiment: Experiment, question: Question) -> Audit:
    config = resolve_config(question.root / experiment.file, root=question.root)
    return Audit(config, fingerprints(question.root), question.root)


def document(experiment: Experiment, found: Audit, rows: list[Reached]) -> dict[str, Any]:
    """Return one experiment's rows as plain data."""
    return {
        "experiment": experiment.name,
        "file": experiment.file.as_posix(),
        "refused": [finding.message for finding in found.findings],
        "callables": [{key: value for key, value in row._asdict().items() if value} for row in rows],
        "not_followed": [
            {"file": each.line()[0], "line": each.line()[1], "text": each.text, "by": by}
            for each, by in unfollowed(found)
        ],
    }


def lines(experiment: Experiment, found: Audit, rows: list[Reached]) -> Iterator[str]:
    """Yield the rows under their kinds, in columns, or a line each where the terminal is too narrow for columns."""
    refused = "; parts of it are refused" if found.findings else ""
    yield f"{experiment.name} reaches these {len(rows)}{refused}:"
    name_width, place_width, code_width = (max(map(len, column)) for column in zip(*map(cells, rows), strict=True))
    fits = len(GAP) * 4 + name_width + place_width + code_width <= (width() or WIDE)
    for kind, group in groupby(rows, key=lambda row: row.kind):
        yield f"{GAP}{kind}"
        for name, place, code in map(cells, group):
            rest = f"{place:<{place_width}}{GAP}{code}".rstrip()
            yield from (
                [f"{GAP * 2}{name:<{name_width}}{GAP}{rest}"] if fits else [f"{GAP * 2}{name}", f"{GAP * 3}{rest}"]
            )

    yield from unfollowed_lines(found)


def unfollowed(found: Audit) -> list[tuple[Unseen, list[str]]]:
    """Return each place whose reach does not count, once, in the order of the lines, with the names that reach it."""
    return sorted(((each, sorted(names)) for each, names in found.unfollowed.items()), key=lambda one: one[0].line())


def unfollowed_lines(found: Audit) -> Iterator[str]:
    places = unfollowed(found)
    if places:
        yield f"{GAP}{NOT_FOLLOWED}"
    for each, names in places:
        yield from wrapped(each.text, GAP * 2)
        yield from wrapped(f"by {', '.join(names)}", GAP * 3)


def wrapped(text: str, indent: str) -> list[str]:
    """Return a text on lines as wide as the terminal, under each other."""
    return textwrap.wrap(
        in_a_line(text),
        width() or WIDE,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def cells(row: Reached) -> tuple[str, str, str]:
    return in_a_line(row.name), in_a_line(row.where), in_a_line(row.code)
