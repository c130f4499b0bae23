"""Arguments that stayed from below where a spec was given another class: told once, at the line that switched it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from otrainer.config.sections import SECTIONS
from otrainer.diagnostics.source_text import Sources
from otrainer.errors import Finding
from otrainer.registry.build.signature import UNKNOWN, WRONG

if TYPE_CHECKING:
    from otrainer.config import ResolvedConfig
    from otrainer.errors import ConfigPath, SourceLocation

TITLE = "arguments left from below"
TWO_NAMES = "two names for one"
CLASSES = tuple(section.name for section in SECTIONS if section.cls)
SHOWN = 5


def gathered(findings: Iterable[Finding], config: ResolvedConfig) -> list[Finding]:
    """Return the findings, those on what stayed from below of one spec as a single one."""
    several = list(findings)
    if not several:
        return several
    layers = Layers(config)
    found: list[Finding] = []
    left: dict[ConfigPath, list[ConfigPath]] = {}
    for finding in several:
        switch, argument = owner(finding, config.data)
        if switch and argument and layers.is_below(argument, switch):
            left.setdefault(switch, []).append(argument)
        elif finding.title == TWO_NAMES:
            found.append(named_anew(finding, layers))
        else:
            found.append(finding)
    return [*found, *(told(switch, list(dict.fromkeys(paths)), config) for switch, paths in left.items())]


def owner(finding: Finding, data: Mapping[str, Any]) -> tuple[ConfigPath, ConfigPath]:
    """Return the path of the key that says what takes an argument, and that of the argument; both empty for none."""
    path = finding.config_path
    if finding.title not in (UNKNOWN, WRONG):
        return (), ()
    if len(path) > 2 and path[0] in CLASSES and path[1] == "kwargs":
        return (path[0], "type"), path[:3]
    for size in range(len(path) - 1, 0, -1):
        value = value_at(data, path[:size])
        for form in ("_type_", "_target_"):
            if isinstance(value, Mapping) and form in value and path[size] != form:
                return (*path[:size], form), path[: size + (2 if path[size] == "_kwargs_" else 1)]
    return (), ()


def value_at(data: Any, path: ConfigPath) -> Any:
    for step in path:
        inside = isinstance(data, Mapping) and step in data
        if not inside and not (isinstance(data, list) and isinstance(step, int) and step < len(data)):
            return None
        data = data[step]
    return data


def told(switch: ConfigPath, arguments: list[ConfigPath], config: ResolvedConfig) -> Finding:
    names = ", ".join(f"`{path[-1]}`" for path in arguments)
    key, one = value_at(config.data, switch), len(arguments) == 1
    message = f"`{key}` does not take {names}, which {'stays' if one else 'stay'} from below."
    places = ((path, config.source_map.locate(path, key=True)) for path in arguments[:SHOWN])
    related = tuple((f"`{path[-1]}` comes from here", at) for path, at in places if at is not None)
    return Finding(message, TITLE, switch, related=related, hint=replacing(switch, key, arguments[0]))


def replacing(switch: ConfigPath, key: Any, argument: ConfigPath) -> str:
    """Return how to write a spec, or the arguments of a class, so that nothing stays from below."""
    if switch[-1] == "type":
        return "Write `kwargs: {_merge_: replace, _value_: {...}}` beside it, with the arguments that it takes."
    name = switch[-2] if isinstance(switch[-2], str) else "-"
    value = f"{{_merge_: replace, _value_: {{{switch[-1]}: {key}, ...}}}}"
    return f"Write `{name}{':' if name != '-' else ''} {value}`, and nothing from below stays."


def named_anew(finding: Finding, layers: Layers) -> Finding:
    """Return the finding on `_type_` beside `_target_` at the one that was written above the other, if it was."""
    spec = finding.config_path[:-1]
    for above, below in (("_type_", "_target_"), ("_target_", "_type_")):
        if layers.is_below((*spec, below), (*spec, above)):
            at = layers.places.locate((*spec, below), key=True)
            related = ((f"`{below}` comes from here", at),) if at else ()
            hint = replacing((*spec, above), "...", ())
            return Finding(finding.message, TWO_NAMES, (*spec, above), on_key=True, related=related, hint=hint)
    return finding


class Layers:
    """Which of two places was laid over the other: files lie below those that list them, and below later entries."""

    def __init__(self, config: ResolvedConfig) -> None:
        self.data, self.places = config.data, config.source_map
        self.sources = Sources()
        self.ranks = {file: rank for rank, file in enumerate(laid(config.source_map.includes))}

    def is_below(self, argument: ConfigPath, switch: ConfigPath) -> bool:
        """Return whether an argument of a spec was written below the key that says what the spec is."""
        low, high = self.places.locate(argument, key=True), self.places.locate(switch, key=True)
        if low is None or high is None:
            return False
        if low.file != high.file:
            return self.ranks.get(low.file, -1) < self.ranks.get(high.file, -1)
        spec = self.places.locate(switch[:-1])
        if spec is None or spec.file != low.file:
            return False
        # In one file a template may lie below, which stands before the spec or behind its end.
        return (low.line, low.col) < (spec.line, spec.col) or self.has_ended(switch[:-1], spec, low.line)

    def has_ended(self, path: ConfigPath, spec: SourceLocation, line: int) -> bool:
        """Return whether a line lies behind the spec that begins at a place: one between is indented less."""
        key = self.places.locate(path, key=True)
        margin = key.col if key is not None and key.line <= spec.line and key != spec else spec.col - 1
        between = self.sources.lines(spec.file)[spec.line : line]
        texts = [each for each in between if each.strip() and not each.lstrip().startswith("#")]
        return any(len(each) - len(each.lstrip(" ")) < margin for each in texts)


def laid(includes: Mapping[str, SourceLocation]) -> Iterator[str]:
    """Yield the files from the lowest layer to the experiment's own."""
    listed: dict[str, list[str]] = {}
    for file, at in includes.items():
        listed.setdefault(at.file, []).append(file)
    stack = [(file, False) for file in listed if file not in includes]
    while stack:
        file, done = stack.pop()
        if done:
            yield file
        else:
            stack += [(file, True), *((each, False) for each in reversed(listed.get(file, ())))]
