"""Which code a config names: components, targets and ops, the plugins that bring them, and what puts them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from otrainer.registry.fingerprint import Fingerprints
from otrainer.registry.manifest import COMPOSITION_ROOT

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath
    from otrainer.registry.core import Factory, Registry


def code_behind(config: Mapping[str, Any], registry: Registry) -> list[dict[str, Any]]:
    """The fingerprint of all code that a config names; a plugin counts as a whole, for what it does when imported."""
    prints = Fingerprints()
    factories: list[tuple[ConfigPath, str, Factory]] = [((), "composition root", COMPOSITION_ROOT)]
    factories += [(("imports", index), name, f"{name}:") for index, name in enumerate(config.get("imports") or ())]
    for path, form, key in keys_in(config):
        if form == "_target_":
            factories.append((path, key, ":".join(key.rpartition(".")[::2])))
        elif form == "call":
            factories.append((path, key, registry.op_entry(key.removeprefix("op:")).fn))
        else:
            factories.append((path, key, registry.get_module(key).factory))
    return [{"path": list(path), "key": key, "fingerprint": prints.of(factory)} for path, key, factory in factories]


def keys_in(value: Any, path: ConfigPath = ()) -> Iterator[tuple[ConfigPath, str, str]]:
    """Every registry key, target and op that a config names: where, under which word, and its name."""
    if isinstance(value, Mapping):
        for word, item in value.items():
            if isinstance(item, str) and names_code(word, item):
                yield (*path, word), word, item
            elif path or word not in ("params", "settings"):
                yield from keys_in(item, (*path, word))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from keys_in(item, (*path, index))


def names_code(word: str, name: str) -> bool:
    """Whether a config's entry `word: name` names something to call."""
    families = {"type": ("optim_cls.", "sched_cls."), "call": ("op:",)}
    return word in ("_type_", "_target_") or name.startswith(families.get(word, "\0"))
