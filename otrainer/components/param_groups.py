"""Parameter groups: which parameters of a model go by options of their own, found by their names and modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otrainer.components.clip_norms import CLIP, clip_flaws
from otrainer.components.layer_decay import LAYER_DECAY, LayerDecay
from otrainer.engine.matching import (
    BIAS,
    NORM,
    flaws_of_pattern,
    is_meant,
    listed,
    matches,
    nothing_called,
    trained,
    unmatched,
)
from otrainer.errors import ConfigError, ConfigPath, Finding, nearest

if TYPE_CHECKING:
    import torch
    from torch import nn

GROUPS: ConfigPath = ("optimizer", "groups")
NO_DECAY: ConfigPath = ("optimizer", "no_decay")
PARAMETERS: ConfigPath = ("optimizer", "parameters")
# What a group says besides the options of the optimizer.
KEYS = ("match", "modules", "name", "lr_scale", CLIP)
UNDECAYED = "no_decay"
DECAY = "weight_decay"


@dataclass
class Group:
    """Parameters with options of their own; `name` is that of the group's learning rate in what is logged.

    `index` is the place of what asks for it among `groups`; of those `is_apart` the weights do not decay.
    """

    name: str
    options: dict[str, Any]
    index: int = -1
    is_apart: bool = False
    parameters: list[nn.Parameter] = field(default_factory=list)

    def as_torch_has_it(self) -> dict[str, Any]:
        named = {"name": self.name} if self.name else {}
        return {"params": self.parameters, **self.options, **named}


def checked_patterns(parameters: Any) -> list[str]:
    """Return the patterns of what an optimizer trains; raise ConfigError for what is none."""
    patterns = [] if parameters is None else listed(parameters)
    if findings := [each for at, one in enumerate(patterns) for each in flaws_of_pattern(one, (*PARAMETERS, at))]:
        raise ConfigError.of(findings)
    return patterns


def chosen_parameters(model: nn.Module, patterns: Sequence[str]) -> dict[str, nn.Parameter]:
    """Return the parameters that train and match one of the patterns, by name; all of them where there are none.

    Raises ConfigError for each pattern that matches nothing.
    """
    owners = {name: owner for name, owner, _ in trained(model)}
    findings = [
        nothing_called(pattern, owners, (*PARAMETERS, at))
        for at, pattern in enumerate(patterns)
        if not any(is_meant(pattern, name, None) for name in owners)
    ]
    if findings and owners:
        raise ConfigError.of(findings)
    known = ((name, parameter) for name, _, parameter in trained(model))
    return {n: each for n, each in known if not patterns or any(is_meant(pattern, n, None) for pattern in patterns)}


def grouped(
    model: nn.Module,
    groups: Sequence[Mapping[str, Any]],
    no_decay: Sequence[str],
    rate: float | None,
    chosen: Mapping[str, nn.Parameter],
    layer_decay: LayerDecay | None = None,
) -> list[Group]:
    """Return the `chosen` parameters in groups: the rest first, then each of `groups`, those without decay apart.

    A parameter goes to the first group that matches it. `rate` is the optimizer's own learning rate, of which a
    group's `lr_scale` is a multiple.
    Raises ConfigError for each pattern that matches nothing, and for a group that those before it leave nothing.
    """
    owners = {name: owner for name, owner, _ in trained(model) if name in chosen}
    findings = [*unmatched(owners, groups, GROUPS), *unmatched_without_decay(owners, no_decay)]
    if findings:
        raise ConfigError.of(findings)
    made = [Group("", {}), *(Group(*head_of(group, index, rate), index) for index, group in enumerate(groups))]
    apart = [without_decay(each) for each in made]
    for name, parameter in chosen.items():
        owner = owners[name]
        index = next((at for at, group in enumerate(groups, 1) if matches(group, name, owner)), 0)
        these = apart if any(is_meant(pattern, name, owner) for pattern in no_decay) else made
        these[index].parameters.append(parameter)
    pairs = [*zip(made, apart, strict=True)]
    if hidden := [one.index for one, other in pairs[1:] if not (one.parameters or other.parameters)]:
        raise ConfigError.of([shadowed(index) for index in hidden])
    made = [each for pair in pairs for each in pair if each.parameters]
    return made if layer_decay is None else by_layer(made, layer_decay, owners, chosen, rate)


def by_layer(
    groups: Sequence[Group],
    layer_decay: LayerDecay,
    owners: Mapping[str, nn.Module],
    chosen: Mapping[str, nn.Parameter],
    rate: float | None,
) -> list[Group]:
    """Return the groups divided by layers, from the input on, each with its share of the group's learning rate."""
    scales = layer_decay.scales(owners)
    found: list[Group] = []
    for group in groups:
        own = group.options.get("lr", rate)
        if own is None:
            raise no_rate((*LAYER_DECAY,), "`layer_decay` takes shares")
        mine = {id(each) for each in group.parameters}
        names = [name for name, parameter in chosen.items() if id(parameter) in mine]
        for layer, scale in sorted({scales[name] for name in names}):
            parameters = [chosen[name] for name in names if scales[name] == (layer, scale)]
            called = "_".join(filter(None, (group.name, f"layer{layer}")))
            found.append(Group(called, {**group.options, "lr": own * scale}, group.index, group.is_apart, parameters))
    return found


def head_of(group: Mapping[str, Any], index: int, rate: float | None) -> tuple[str, dict[str, Any]]:
    """Return the name of a group and its options for the optimizer."""
    options = {key: value for key, value in group.items() if key not in KEYS}
    if (scale := group.get("lr_scale")) is not None:
        if rate is None:
            raise no_rate((*GROUPS, index, "lr_scale"), "`lr_scale` is a multiple")
        options["lr"] = rate * scale
    return str(group.get("name", index + 1)), options


def no_rate(path: ConfigPath, what: str) -> ConfigError:
    message = f"{what} of the optimizer's learning rate, and that is not given."
    hint = "Add `lr` to `optimizer.kwargs`, or give the group an `lr`."
    return ConfigError(message, title="no learning rate", config_path=path, hint=hint)


def without_decay(group: Group) -> Group:
    name = f"{group.name}_{UNDECAYED}" if group.name else UNDECAYED
    return Group(name, {**group.options, DECAY: 0.0}, group.index, is_apart=True)


def unmatched_without_decay(owners: Mapping[str, nn.Module], no_decay: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding for each pattern that no parameter goes by; models without biases or norms are common."""
    for index, pattern in enumerate(no_decay):
        if pattern not in (BIAS, NORM) and not any(is_meant(pattern, name, owner) for name, owner in owners.items()):
            yield nothing_called(pattern, owners, (*NO_DECAY, index))


def shadowed(index: int) -> Finding:
    message = "The groups before this one take all parameters that it matches."
    hint = "A parameter goes to the first group that matches it: put this one before those."
    return Finding(message, "nothing is left", (*GROUPS, index), hint=hint)


def check_groups(groups: Any, no_decay: Any) -> None:
    """Raise ConfigError for what cannot be groups or patterns, all that is wrong with them at once."""
    findings = []
    if not isinstance(groups, list | tuple):
        hint = "Write `groups: [{match: ...}]`."
        findings.append(Finding("`groups` lists mappings.", "not a list", GROUPS, hint=hint))
    else:
        findings += [finding for index, group in enumerate(groups) for finding in flaws(group, (*GROUPS, index))]
    for index, pattern in enumerate(no_decay):
        findings += flaws_of_pattern(pattern, (*NO_DECAY, index))
    if findings:
        raise ConfigError.of(findings)


def flaws(group: Any, path: ConfigPath) -> Iterator[Finding]:
    if not isinstance(group, Mapping) or not (group.get("match") or group.get("modules")):
        message = "A group is a mapping that says by `match` or `modules` which parameters it is for."
        hint = 'Write `{match: "backbone.*", lr: 1.0e-4}` or `{modules: Embedding, weight_decay: 0.0}`.'
        keys = group if isinstance(group, Mapping) else ()
        near = [word for key in keys for word in nearest(str(key), ("match", "modules"))]
        yield Finding(message, "no group", path, suggestions=tuple(near[:1]), hint=hint)
        return
    for key in ("match", "modules"):
        for each in listed(group.get(key) or ()):
            yield from flaws_of_pattern(each, (*path, key))
    scale = group.get("lr_scale")
    if scale is not None and (isinstance(scale, bool) or not isinstance(scale, int | float) or scale < 0):
        message = f"`lr_scale` is a number from 0 on, not {scale!r}."
        yield Finding(message, "wrong type", (*path, "lr_scale"), hint="Write `lr_scale: 0.1`.")
    yield from clip_flaws(group, path)
    if scale is not None and "lr" in group:
        message = "A group has `lr` or `lr_scale`, not both."
        yield Finding(message, "given twice", (*path, "lr_scale"), hint="Leave one of them out.")


def check_options(groups: Sequence[Group], optimizer: torch.optim.Optimizer) -> None:
    """Raise ConfigError for options of groups that the optimizer has not: torch would keep and never read them."""
    known, findings = optimizer.defaults, dict[Finding, None]()
    who = type(optimizer).__name__
    for group in groups:
        for key in group.options:
            if key in known:
                continue
            message = f"`{who}` has no option `{key}`."
            if group.is_apart and key == DECAY:
                hint = "Leave `no_decay` out: there is no decay to be without."
                findings[Finding(message, "unknown option", NO_DECAY, hint=hint)] = None
            else:
                path, near = (*GROUPS, group.index, key), nearest(key, [*known, *KEYS])
                hint = f"It has {', '.join(f'`{name}`' for name in known)}."
                findings[Finding(message, "unknown option", path, on_key=True, suggestions=near, hint=hint)] = None
    if findings:
        raise ConfigError.of([*findings])
