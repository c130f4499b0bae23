"""A config without what is wrong in it: the rest is tried too, so that all mistakes are told together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from otrainer.config.sections import SECTIONS
from otrainer.registry.build.spec import is_spec
from otrainer.stages.leftovers import value_at

if TYPE_CHECKING:
    from otrainer.config import ResolvedConfig
    from otrainer.errors import ConfigPath, Finding

COMPONENTS = {section.name for section in SECTIONS}
KWARGS = ("kwargs", "_kwargs_")
# Without one of these right, a spec builds nothing.
HEADS = ("_type_", "_target_", "_args_", "type", "args")
WORD = re.compile(r"\w+")


@dataclass
class Rest:
    """What is left of a config to be tried; a component of which nothing is left is None, among others in a list too.

    `lost` has, for each component that was put short, the names of what it lost and of what may have been meant.
    """

    config: ResolvedConfig
    lost: dict[ConfigPath, set[str]] = field(default_factory=dict)

    def has(self, section: str) -> bool:
        """Return whether anything of a section is left."""
        value = self.config.data.get(section)
        return any(each is not None for each in value) if isinstance(value, list) else value is not None

    def is_whole(self, section: str) -> bool:
        """Return whether a section has all that was written."""
        return not any(path[0] == section for path in self.lost)

    def set_aside(self, findings: Iterable[Finding]) -> None:
        """Leave out the arguments in which something is wrong, and components that cannot be built without them."""
        for finding in findings:
            if finding.config_path and finding.config_path[0] in COMPONENTS:
                component, wrong = blamed(finding.config_path, self.config.data)
                self.lost.setdefault(component, set()).update((str(wrong[-1]), *finding.suggestions))
                data = self.config.data
                data = without(data, wrong) if wrong[1:] else {**data, str(wrong[0]): None}
                self.config = replace(self.config, data=data)

    def follows(self, finding: Finding) -> bool:
        """Return whether a finding on the rest may come of what it lost: it names that, or no argument beside it."""
        for component, names in self.lost.items():
            if finding.config_path[: len(component)] == component:
                inside = finding.config_path[len(component) :]
                said = WORD.findall(f"{finding.message} {finding.hint}")
                is_whole = not inside or inside[0] in HEADS or (inside[0] in KWARGS and not inside[1:])
                if is_whole or not names.isdisjoint(said):
                    return True
        return False


def blamed(path: ConfigPath, data: Mapping[str, Any]) -> tuple[ConfigPath, ConfigPath]:
    """Return the component in which something is wrong at `path`, and what to leave out: an argument, or it itself."""
    for size in range(len(path) - 1, 0, -1):
        if not is_spec(value_at(data, path[:size])) or path[size] in HEADS:
            continue  # what is wrong with a head is wrong with the whole spec, an argument of another one
        return path[:size], path[: size + 2] if path[size] in KWARGS else path[: size + 1]
    whole = path[: 2 if isinstance(data.get(str(path[0])), list) else 1]
    return whole, whole


def without(data: Any, path: ConfigPath) -> Any:
    """Return a copy of `data` without what is at `path`; an item of a list becomes None, and its neighbours stay."""
    step, rest = path[0], path[1:]
    if isinstance(data, list):
        return [(without(each, rest) if rest else None) if at == step else each for at, each in enumerate(data)]
    if not isinstance(data, Mapping) or step not in data:
        return data
    return {key: without(each, rest) if key == step else each for key, each in data.items() if rest or key != step}
