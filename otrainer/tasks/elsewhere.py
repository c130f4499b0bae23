"""What people type who come from other tools, and how the same is said here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from otrainer.errors import ConfigError, Finding, nearest
from otrainer.storage.experiments import find_experiment
from otrainer.tasks.commandline import COMMANDS, is_variable, options_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from otrainer.tasks.commandline import CommandLine


def unknown_variables(line: CommandLine, known: Collection[str], root: Path) -> Iterator[Finding]:
    """Yield a finding for each variable that no task reads; values of a config are told where they belong."""
    for name, value in line.variables.items():
        if name not in known:
            message, near = f"`{name}={value}` sets a variable that no task reads.", nearest(name, known)
            hint = f"There are: {', '.join(known)}."
            if not near and not name.isupper():
                hint = in_an_experiment(name, value, line.variables.get("EXP", "NAME"), root)
            yield Finding(message, "unknown variable", suggestions=near, hint=hint)


def in_an_experiment(name: str, value: str, base: str, root: Path) -> str:
    """Return how to say by a config what `name=value` says on other command lines."""
    *sections, key = name.strip("-+~").split(".")
    sections = sections or place_in(base, key, root)
    cast = cast_for(value)
    asked = f"${{env:{cast}{':' if cast else ''}{key.upper()},{value}}}"
    inside = f"{{{key}: {value}}}" if sections else f"{key}: {value}"
    for section in reversed(sections):
        inside = f"{section}: {inside}" if section == sections[0] else f"{{{section}: {inside}}}"
    file = base.removeprefix("configs/experiments/").removesuffix(".yaml")
    return (
        f"Write an experiment with `defaults: [{file}.yaml]` and `{inside}`, or let the config read the environment: "
        f"`{key}: {asked}`."
    )


def place_in(base: str, key: str, root: Path) -> list[str]:
    """Return the keys above a key in an experiment's config, where they are fewest; `params` for one that it has not.

    Of a config that cannot be read there are none.
    """
    from otrainer.config import resolve_config  # only for whoever types what is no option
    from otrainer.config.sections import KNOWN_SECTIONS
    from otrainer.config.walk import mappings

    try:
        config = resolve_config(root / find_experiment(base, root).file, root=root).data
    except (ConfigError, OSError):
        return []
    if key in KNOWN_SECTIONS:
        return []
    held = [path for path, mapping in mappings(config) if key in mapping]
    ways = [path for path in held if all(isinstance(step, str) for step in path)]
    return [str(step) for step in min(ways, key=len, default=("params",))]


def cast_for(value: str) -> str:
    """Return the cast by which the environment gives such a value: empty for text."""
    if value.lower() in ("true", "false", "yes", "no", "on", "off"):
        return "bool"
    for cast, reads in (("int", int), ("float", float)):
        try:
            reads(value)
        except ValueError:
            continue
        return cast
    return "json" if value[:1] in ("[", "{") else ""


def option_behind(option: str, line: CommandLine, root: Path) -> Finding:
    """Return the finding for an option behind a task; doit's own belong before it, values into a config."""
    name, _, value = option.partition("=")
    behind = line.tasks[line.tasks.index(option) + 1 :]
    if is_doits(name, line.command):
        message = f"`{option}` stands behind a task, where doit reads it as an option of that task."
        hint = f"Options of doit go before its tasks: `doit {option} ... {' '.join(line.tasks[:1])}`."
        return Finding(message, "misplaced option", hint=hint)
    given = value or next((word for word in behind[:1] if not word.startswith("-")), "VALUE")
    key = name.lstrip("-").replace("-", "_")
    message = f"There is no option `{name}`, neither of doit nor of its tasks."
    if key.upper() in ("EXP", "EXPERIMENT", "CONFIG", "CONFIG_NAME", "CFG"):
        return Finding(message, "unknown option", hint=f"Write `doit {line.tasks[0]} EXP={given}`.")
    hint = in_an_experiment(key, given, line.variables.get("EXP", "NAME"), root)
    return Finding(message, "unknown option", hint=hint)


def is_doits(name: str, command: str) -> bool:
    """Return whether a command of doit knows an option, which may have its value attached (`-n2`)."""
    options = list(options_of(COMMANDS[command]))
    if name.startswith("--"):
        return name[2:] in {each.get("long") for each in options} | {each.get("inverse") for each in options}
    return name[1:2] in {each.get("short") for each in options}


def experiment_before_doit(line: CommandLine) -> Iterator[Finding]:
    """Yield a finding where EXP is set for the shell and not for doit, which trains nothing then."""
    named = os.environ.get("EXP", "")
    if named and not is_variable(named) and "EXP" not in line.variables:
        message = f"`EXP={named}` is set in the environment, where no task reads it."
        hint = f"It goes behind the verb: `doit {' '.join(line.tasks) or 'train'} EXP={named}`."
        yield Finding(message, "misplaced variable", hint=hint)
