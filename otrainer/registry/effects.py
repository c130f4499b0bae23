"""What of a config cannot change what is trained, as components promise it and as nothing reads it.

A promise is made where a component is registered, `without_effect`. It travels in the rows of `code_behind`, so that
whoever has these needs neither the registry nor what it would import.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from otrainer.config.sections import KNOWN_SECTIONS, RUN_KEYS, SECTIONS
from otrainer.config.walk import is_mapping, mappings

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath

# Arguments, each with those of its component's arguments that have to be data sets which are read by index for it.
Promises: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]
Row: TypeAlias = Mapping[str, Any]

WHOLE = "*"
ITERABLE = "IterableDataset"  # torch's
# What they allow is checked before; what they lead to stands in the rows of the code.
CHECKED_BEFORE = ("imports", "settings")
OPTIONAL = (*(section.name for section in SECTIONS if not section.required), "weights")
# Words of a project's sources: who says one of them may read the config as a whole, or act by its data worker.
READS_CONFIG, BY_WORKER = "config", "worker_info"
# Stands in place of the run's folder; no text of anybody's begins with such a character.
RUN_FOLDER = "\ue000run.out_dir\ue000"


class Known(NamedTuple):
    """What there is to know of a registered key or op: its target, who registered it, and what its arguments do."""

    target: str
    plugin: str | None
    without_effect: Promises = ()
    indexed: bool = False
    signature: Callable[[], str | None] = lambda: None

    def facts(self, nulls: Collection[str]) -> dict[str, Any]:
        """Return what decides whether arguments count, of which `nulls` are given as null; nothing where all do."""
        nullable = sorted(set(nulls) & none_by_default(self.signature() or "")) if nulls else []
        promises = {name: list(needed) for name, needed in self.without_effect}
        found = {"without_effect": promises, "indexed": self.indexed, "nullable": nullable}
        return {name: value for name, value in found.items() if value}

    @classmethod
    def of_row(cls, row: Row) -> Known:
        """Return what a row of `code_behind` keeps of a key."""
        default = "".join(f"{name}=None, " for name in row.get("nullable", ()))
        promises = promises_of(row.get("without_effect", ()))
        return cls(row["target"], row["plugin"], promises, bool(row.get("indexed")), lambda: f"({default})")


def none_by_default(signature: str) -> set[str]:
    """Return the arguments in the text of a signature whose default is None; none where it is no Python."""
    try:
        function = ast.parse(f"def f{signature}: 0").body[0]
    except (SyntaxError, ValueError):
        return set()
    assert isinstance(function, ast.FunctionDef)  # noqa: S101 - that is what was written
    named, by_name = function.args, zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    by_place = zip(named.args[::-1], named.defaults[::-1], strict=False)
    return {arg.arg for arg, value in [*by_place, *by_name] if isinstance(value, ast.Constant) and value.value is None}


def null_arguments(values: Iterable[object]) -> dict[str, set[str]]:
    """Return the arguments that the specs among the values of a config give as null, by their keys."""
    found: dict[str, set[str]] = {}
    for spec in values:
        if is_mapping(spec) and isinstance(spec.get("_type_"), str):
            names = {name for name, value in given_in(spec) if value is None}
            found.setdefault(spec["_type_"], set()).update(names)
    return found


def is_read_by_index(target: object) -> bool:
    """Return whether a target is the class of a map-style data set."""
    if not isinstance(target, type):
        return False
    bases = target.__mro__
    return any("__getitem__" in vars(base) for base in bases) and all(base.__name__ != ITERABLE for base in bases)


def promises_of(given: Mapping[str, Iterable[str]] | Iterable[str]) -> Promises:
    """Return what is promised from how it is given: as names, or as a mapping that has conditions for them."""
    pairs = given.items() if isinstance(given, Mapping) else ((name, ()) for name in given)
    return tuple((name, tuple(needed)) for name, needed in pairs)


def uncounted(config: Mapping[str, Any], rows: Iterable[Row]) -> set[ConfigPath]:
    """Return the paths of all that does not count: promised, read by nobody, or the same as nothing at all.

    Where code of the project may read the config as a whole, everything counts.
    """
    facts = {row["key"]: row for row in rows}
    found: set[ConfigPath] = {(name,) for name in CHECKED_BEFORE}
    if any(READS_CONFIG in row.get("reads", ()) for row in facts.values()):
        return found
    found |= {(name,) for name in config if name == "params" or name not in KNOWN_SECTIONS}
    found |= set(unset_in_run(config.get("run")))
    for path, spec in mappings(config):
        if isinstance(spec.get("_type_"), str) and path[:1] not in found:
            found.update((*path, *below) for below in uncounted_of(spec, facts))
    return found | {(name,) for name in OPTIONAL if name in config and is_empty(config[name], (name,), found)}


def as_counted(
    config: Mapping[str, Any], without: Collection[ConfigPath], value: Any = ..., path: ConfigPath = ()
) -> Any:
    """Return a config, or the `value` at a `path` of it, `without` what does not count.

    Paths into the run's folder are as they are from there.
    """
    place = partial(relative, config=config) if ("run", "out_dir") in without else str

    def kept(value: Any, path: ConfigPath) -> Any:
        if isinstance(value, Mapping):
            return {key: kept(item, (*path, key)) for key, item in value.items() if (*path, key) not in without}
        if isinstance(value, list):
            return [kept(item, (*path, at)) for at, item in enumerate(value) if (*path, at) not in without]
        return place(value) if isinstance(value, str) else value

    return kept(config, ()) if value is ... else kept(value, path)


def relative(text: str, config: Mapping[str, Any]) -> str:
    """Return a path into the run's folder as it is from there, marked as such; any other text as it is."""
    folder = str(config["run"]["out_dir"]).rstrip("/")
    if text.startswith(f"{folder}/") or (text == folder and "/" in folder):
        return f"{RUN_FOLDER}{text[len(folder) :].lstrip('/')}"
    return text


def unset_in_run(run: Any) -> Iterator[ConfigPath]:
    """Yield the name and folder of a run, and keys that have the value which they have anyhow."""
    for key, value in run.items() if isinstance(run, Mapping) else ():
        known = RUN_KEYS.get(key)
        default = known.default if known else ...
        is_default = type(value) is type(default) and value == default
        if key in ("name", "out_dir") or value is None or is_default:
            yield "run", key


def is_empty(section: Any, path: ConfigPath, found: Collection[ConfigPath]) -> bool:
    if section is None:
        return True
    return isinstance(section, list) and all((*path, index) in found for index in range(len(section)))


def uncounted_of(spec: Mapping[str, Any], facts: Mapping[str, Row]) -> Iterator[ConfigPath]:
    """Yield what does not count of a spec, by paths from it; the empty path is the whole."""
    row = facts.get(spec["_type_"], {})
    inline = spec.get("_kwargs_")
    kwargs: Mapping[str, Any] = inline if isinstance(inline, Mapping) else {}
    spared = {name for name, needed in row.get("without_effect", {}).items() if all_indexed(spec, needed, facts)}
    if WHOLE in spared:
        yield ()
        return
    spared |= {name for name, value in given_in(spec) if value is None and name in row.get("nullable", ())}
    yield from ((name,) for name in spec if name in spared)
    yield from (("_kwargs_", name) for name in kwargs if name in spared)
    yield from ((name,) for name in ("_args_", "_kwargs_") if name in spec and not spec[name])
    if all(name in spared for name in kwargs):
        yield ("_kwargs_",)


def all_indexed(spec: Mapping[str, Any], needed: Iterable[str], facts: Mapping[str, Row]) -> bool:
    """Return whether the arguments `needed` are data sets that are read by index, whoever reads them."""
    given = dict(given_in(spec))
    if spec.get("_args_"):
        return not list(needed)
    return all(given.get(name) is None or is_indexed(given[name], facts) for name in needed)


def is_indexed(value: Any, facts: Mapping[str, Row]) -> bool:
    """Return whether a value is the spec of a data set read by index, in which nothing asks which worker it is in."""
    if not isinstance(value, Mapping) or "indexed" not in facts.get(str(value.get("_type_")), {}):
        return False
    specs = [spec for _, spec in mappings(value)]
    rows = (facts.get(str(spec.get("_type_")), {}) for spec in specs)
    return not any("_target_" in spec for spec in specs) and not any(BY_WORKER in row.get("reads", ()) for row in rows)


def given_in(spec: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the arguments that a spec gives by name."""
    kwargs = spec.get("_kwargs_")
    yield from spec.items()
    yield from kwargs.items() if isinstance(kwargs, Mapping) else ()
