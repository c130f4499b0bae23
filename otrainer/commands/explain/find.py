"""What a KEY means: a component, an op, a section, an argument of one of them, or all that a pattern matches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from otrainer.config.sections import SECTIONS
from otrainer.errors import ConfigError, nearest

if TYPE_CHECKING:
    from otrainer.commands.explain.topics import Topic

PATTERN = "*?["
PREFIXES = {section.name: section.prefix for section in SECTIONS}


def found(text: str, topics: Mapping[str, Topic]) -> list[Topic]:
    """Return what `text` names, once each; several names have commas between them.

    Raises ConfigError where nothing has such a name, with the nearest ones.
    """
    wanted: dict[str, Topic] = {}
    for name in filter(None, map(str.strip, text.split(","))):
        several = list(named(name, topics))
        if not several:
            raise unknown(name, topics)
        wanted |= {each.name: each for each in several if each.name not in wanted}
    return list(wanted.values())


def named(name: str, topics: Mapping[str, Topic]) -> Iterator[Topic]:
    """Yield what one name or pattern stands for: of an argument, what it belongs to without its other arguments."""
    if name in topics or f"op:{name}" in topics:
        yield topics.get(name) or topics[f"op:{name}"]
        return
    if any(mark in name for mark in PATTERN):
        yield from (each for key, each in topics.items() if fnmatchcase(key, name))
        return
    owner, _, argument = name.rpartition(".")
    for each in [*filter(None, [topics.get(owner)]), *of_section(owner, topics)]:
        chosen = tuple(one for one in each.arguments if one.name == argument)
        if chosen:
            yield each._replace(arguments=chosen, takes_others=False)


def of_section(name: str, topics: Mapping[str, Topic]) -> list[Topic]:
    """Return the components of a section."""
    prefix = PREFIXES.get(name)
    return [each for key, each in topics.items() if prefix and key.startswith(prefix)]


def unknown(name: str, topics: Mapping[str, Topic]) -> ConfigError:
    owner, _, _argument = name.rpartition(".")
    of_owner = [*filter(None, [topics.get(owner)]), *of_section(owner, topics)]
    arguments = [f"{owner}.{one.name}" for each in of_owner for one in each.arguments]
    near = nearest(name, [*arguments, *topics])
    hint = "`doit explain` lists all; keys of a plugin are known once `EXP=NAME` names an experiment that imports it."
    return ConfigError(f"There is no `{name}` to explain.", title="unknown key", suggestions=near, hint=hint)
