"""`model.tie`: parameters that are one tensor under several names, as an embedding and the head that reads it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from torch.nn.parameter import is_lazy

from otrainer.errors import ConfigError, Finding, nearest
from otrainer.model.ir import Tie

if TYPE_CHECKING:
    from torch import nn

    from otrainer.errors import ConfigPath
    from otrainer.model.section import Report

EXAMPLE = "Write `tie: [head.weight, embed.weight]`, or a list of such lists."


def read_ties(value: object, path: ConfigPath, report: Report) -> tuple[Tie, ...]:
    """Return which names are to be one tensor: a list of names, or a list of such lists."""
    listed = report.sequence(value, path, what="`tie`", hint=EXAMPLE)
    several = any(isinstance(each, list | tuple) for each in listed)
    found = []
    for each, place in [(each, (*path, at)) for at, each in enumerate(listed)] if several else [(listed, path)]:
        names = report.sequence(each, place, what="What is tied", hint=EXAMPLE)
        if not all(isinstance(name, str) for name in names) or len(set(names)) < 2:
            report.add("What is tied are two names of parameters, or more.", place, title="wrong value", hint=EXAMPLE)
            continue
        found.append(Tie(tuple(names), place))
    return tuple(found)


def tie(model: nn.Module, ties: tuple[Tie, ...]) -> None:
    """Let parameters be one tensor: that of them which was built first, with its initial values.

    Raises ConfigError for names that there are not, for other shapes, and for widths that no batch has told yet.
    """
    known = dict(model.named_parameters(remove_duplicate=False))
    findings = [finding for each in ties for finding in misfits(each, known)]
    if findings:
        raise ConfigError.of(findings)
    order = {name: at for at, name in enumerate(known)}
    for each in ties:
        first, *others = sorted(each.names, key=order.__getitem__)
        for name in others:
            owner, _, own = name.rpartition(".")
            setattr(model.get_submodule(owner), own, known[first])
        known = dict(model.named_parameters(remove_duplicate=False))


def misfits(ties: Tie, known: Mapping[str, nn.Parameter]) -> Iterator[Finding]:
    """Yield why names cannot be one tensor."""
    missing = [at for at, name in enumerate(ties.names) if name not in known]
    for at in missing:
        name = ties.names[at]
        near, hint = nearest(name, known), f"There are {', '.join(f'`{each}`' for each in list(known)[:6])}."
        message = f"The model has no parameter `{name}`."
        yield Finding(message, "unknown parameter", (*ties.path, at), suggestions=near, hint=hint)
    if missing:
        return
    first = known[ties.names[0]]
    for at, name in enumerate(ties.names):
        if is_lazy(known[name]):
            hint = "Give its width in the config."
            yield Finding(f"`{name}` has no shape yet.", "lazy width unknown", (*ties.path, at), hint=hint)
        elif not is_lazy(first) and known[name].shape != first.shape:
            shapes = f"`{name}` is {list(known[name].shape)}, and `{ties.names[0]}` is {list(first.shape)}"
            hint = "Only what has one shape is one tensor."
            yield Finding(f"{shapes}.", "shapes differ", (*ties.path, at), hint=hint)
