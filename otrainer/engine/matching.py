"""Which parameters of a model a pattern in a config means: by their names, or by the modules that they are of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from otrainer.errors import ConfigPath, Finding, nearest

REGULAR = "re:"
BIAS = "bias"
NORM = "norm"
MOST_NAMED = 6


def trained(model: nn.Module) -> Iterator[tuple[str, nn.Module, nn.Parameter]]:
    """Yield each parameter that trains, once, with its name and the module that it is of."""
    modules = dict(model.named_modules(remove_duplicate=False))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, modules[name.rpartition(".")[0]], parameter


def matches(group: Mapping[str, Any], name: str, owner: nn.Module) -> bool:
    """Return whether a group is meant for a parameter: by its name and by its module, as far as it says either."""
    by_name = not group.get("match") or any(is_meant(pattern, name, None) for pattern in listed(group["match"]))
    by_module = not group.get("modules") or any(is_of(owner, each) for each in listed(group["modules"]))
    return by_name and by_module


def is_meant(pattern: str, name: str, owner: nn.Module | None) -> bool:
    """Return whether a pattern means a parameter; `bias` and `norm` mean those by kind, where its `owner` is given."""
    if owner is not None and pattern == BIAS:
        return BIAS in name.rpartition(".")[2].split("_")  # `in_proj_bias` of attention, `bias_ih_l0` of a GRU
    if owner is not None and pattern == NORM:
        return is_of(owner, NORM)
    if pattern.startswith(REGULAR):
        return re.search(pattern.removeprefix(REGULAR), name) is not None
    return fnmatchcase(name, pattern)


def is_of(module: nn.Module, cls: str) -> bool:
    """Return whether a module is of a class, or of one derived from it: `norm` means all that normalise."""
    if cls == NORM:
        return is_norm(module)
    bare = cls.rpartition(".")[2]
    return any(base.__name__ == bare for base in type(module).__mro__)


def is_norm(module: nn.Module) -> bool:
    """Return whether a module normalises, by its class, or the end of its class's name."""
    norms = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
    return isinstance(module, norms) or type(module).__name__.endswith("Norm")


def listed(value: Any) -> list[str]:
    return list(value) if isinstance(value, list | tuple) else [value]


def unmatched(
    owners: Mapping[str, nn.Module], groups: Sequence[Mapping[str, Any]], path: ConfigPath
) -> Iterator[Finding]:
    """Yield a finding for each pattern and class of the groups at a path that no parameter goes by."""
    classes = sorted({type(owner).__name__ for owner in owners.values()})
    for index, group in enumerate(groups):
        for pattern in listed(group.get("match") or ()):
            if not any(is_meant(pattern, name, None) for name in owners):
                yield nothing_called(pattern, owners, (*path, index, "match"))
        for cls in listed(group.get("modules") or ()):
            if not any(is_of(owner, cls) for owner in owners.values()):
                message = f"No module of a class `{cls}` has a parameter that trains."
                near = nearest(cls.rpartition(".")[2], classes)
                hint = f"There are {', '.join(f'`{each}`' for each in classes)}."
                yield Finding(message, "nothing matches", (*path, index, "modules"), suggestions=near, hint=hint)
        yield from unmatched_together(owners, group, (*path, index))


def unmatched_together(
    owners: Mapping[str, nn.Module], group: Mapping[str, Any], path: ConfigPath
) -> Iterator[Finding]:
    """Yield a finding where parameters go by a group's `match` and others by its `modules`, and none by both."""
    named = any(matches({"match": group.get("match")}, *each) for each in owners.items())
    owned = any(matches({"modules": group.get("modules")}, *each) for each in owners.items())
    if named and owned and not any(matches(group, *each) for each in owners.items()):
        message = "No parameter that trains goes by both `match` and `modules`."
        hint = "One that is meant has to match both: leave one of them out, or mend it."
        yield Finding(message, "nothing matches", path, hint=hint)


def nothing_called(pattern: str, owners: Mapping[str, nn.Module], path: ConfigPath) -> Finding:
    message = f"`{pattern}` matches no parameter that trains."
    names = [*owners]
    shown = ", ".join(f"`{name}`" for name in names[:MOST_NAMED])
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    hint = f"There are {shown}{more}; `*` stands for any letters."
    return Finding(message, "nothing matches", path, suggestions=nearest(pattern, names), hint=hint)


def flaws_of_pattern(pattern: Any, path: ConfigPath) -> Iterator[Finding]:
    if not isinstance(pattern, str) or not pattern:
        yield Finding(f"A pattern is a text, not {pattern!r}.", "no pattern", path, hint="Write `backbone.*`.")
        return
    try:
        re.compile(pattern.removeprefix(REGULAR) if pattern.startswith(REGULAR) else "")
    except re.error as error:
        yield Finding(f"`{pattern}` is no regular expression: {error}.", "no pattern", path, hint="Mend it.")
