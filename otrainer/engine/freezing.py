"""Frozen parameters: which of a model's do not train, until or from a step or an epoch on.

What is frozen is a function of the step and the epoch, and so the same after a resume, wherever the run was stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from otrainer.engine.matching import flaws_of_pattern, is_meant, is_norm, listed, matches, trained, unmatched
from otrainer.errors import ConfigError, ConfigPath, Finding, is_whole, nearest

if TYPE_CHECKING:
    from torch import nn

    from otrainer.engine.boundary import Boundary
    from otrainer.engine.checkpoint.flags import Flags
    from otrainer.engine.state import TrainState

FREEZE: ConfigPath = ("trainer", "freeze")
WHICH = ("match", "modules")
WHEN = ("until_step", "until_epoch", "from_step", "from_epoch")
NEVER = 1 << 62

Rule = Mapping[str, Any]


class Freezing:
    """Rules over the parameters of a model that would train, and the norms among its modules.

    A parameter is frozen where any rule that matches it says so. A norm whose parameters all are frozen, or that has
    none and is matched by its buffers, is in evaluation mode as long.
    Raises ConfigError for a rule that matches nothing.
    """

    def __init__(self, rules: Sequence[Rule], model: nn.Module) -> None:
        owners = {name: owner for name, owner, _ in trained(model)}
        if findings := [*unmatched(owners, rules, FREEZE)]:
            raise ConfigError.of(findings)
        self._parameters = {
            name: (parameter, meant)
            for name, owner, parameter in trained(model)
            if (meant := [rule for rule in rules if matches(rule, name, owner)])
        }
        norms = ((name, module) for name, module in model.named_modules() if is_norm(module))
        found = ((name, module, [*meant_for(module, name, rules)]) for name, module in norms)
        self._norms = {name: (module, meant) for name, module, meant in found if meant}
        bounds = (rule.get(key) for rule in rules for key in ("until_step", "from_step"))
        self._steps = sorted(bound for bound in bounds if bound is not None)
        self._next = NEVER
        self.noted: Callable[[Flags], None] = lambda flags: None  # called with what is frozen, whenever that changes

    def freeze_for_good(self) -> None:
        """Let what never trains require no gradients, before an optimizer is built over what does."""
        for parameter, meant in self._parameters.values():
            if any(not any(key in rule for key in WHEN) for rule in meant):
                parameter.requires_grad = False  # which a width that is not known yet allows

    def apply(self, state: TrainState) -> bool:
        """Freeze and thaw what is to be where training stands; return whether anything changed."""
        self._next = next((step for step in self._steps if step > state.global_step), NEVER)
        changed = False
        for parameter, meant in self._parameters.values():
            trains = not any(holds(rule, state) for rule in meant)
            if parameter.requires_grad is not trains:
                parameter.requires_grad_(trains)
                parameter.grad, changed = None, True
        for module, meant in self._norms.values():
            own = [*module.parameters(recurse=False)]
            frozen = not any(each.requires_grad for each in own) if own else any(holds(rule, state) for rule in meant)
            if module.training is frozen:
                module.train(not frozen)
                changed = True
        self.noted(self._flags())
        return changed

    def _flags(self) -> Flags:
        return {
            "requires_grad": {name: parameter.requires_grad for name, (parameter, _) in self._parameters.items()},
            "training": {name: module.training for name, (module, _) in self._norms.items()},
        }

    def follow(self, groups: Iterator[Any], state: TrainState, boundary: Boundary) -> Iterator[Any]:
        """Yield an epoch's groups of micro-batches, with all frozen for each that is to be."""
        if self.apply(state):
            boundary.begin_epoch()
        for group in groups:
            if state.global_step >= self._next and self.apply(state):
                boundary.begin_epoch()
            yield group


def holds(rule: Rule, state: TrainState) -> bool:
    """Return whether a rule freezes what it matches where training stands."""
    if not any(key in rule for key in WHEN):
        return True
    step, epoch = state.global_step, state.epoch
    until = step < rule.get("until_step", 0) or epoch < rule.get("until_epoch", 0)
    return bool(until or step >= rule.get("from_step", NEVER) or epoch >= rule.get("from_epoch", NEVER))


def meant_for(module: nn.Module, name: str, rules: Sequence[Rule]) -> Iterator[Rule]:
    """Yield the rules that match a module by what it holds: its parameters, or buffers where it has none."""
    held = [*dict(module.named_parameters(recurse=False)), *dict(module.named_buffers(recurse=False))]
    names = [f"{name}.{each}" if name else each for each in held]
    for rule in rules:
        patterns = listed(rule.get("match") or ())
        by_name = not patterns or any(is_meant(pattern, each, None) for pattern in patterns for each in names)
        if by_name and matches({"modules": rule.get("modules")}, name, module):
            yield rule


def check_rules(rules: Any) -> None:
    """Raise ConfigError for what is no list of rules, with all that is wrong with them at once."""
    if not isinstance(rules, list | tuple):
        hint = "Write `freeze: [{match: ...}]`."
        raise ConfigError("`freeze` lists mappings.", title="not a list", config_path=FREEZE, hint=hint)
    if findings := [finding for index, rule in enumerate(rules) for finding in flaws(rule, (*FREEZE, index))]:
        raise ConfigError.of(findings)


def flaws(rule: Any, path: ConfigPath) -> Iterator[Finding]:
    """Yield what is wrong with a rule."""
    if not isinstance(rule, Mapping) or not any(rule.get(key) for key in WHICH):
        message = "A rule is a mapping that says by `match` or `modules` which parameters are frozen."
        hint = 'Write `{match: "backbone.*", until_step: 100}`.'
        meant = [word for key in (rule if isinstance(rule, Mapping) else ()) for word in nearest(str(key), WHICH)]
        yield Finding(message, "no rule", path, suggestions=tuple(meant[:1]), hint=hint)
        return
    for key in rule:
        if key not in (*WHICH, *WHEN):
            near, message = nearest(str(key), (*WHICH, *WHEN)), f"A rule has no `{key}`."
            yield Finding(message, "unknown key", (*path, key), on_key=True, suggestions=near)
    for key in WHICH:
        for pattern in listed(rule.get(key) or ()):
            yield from flaws_of_pattern(pattern, (*path, key))
    given = [key for key in WHEN if key in rule]
    for key in given:
        if not is_whole(rule[key], 0):
            message = f"`{key}` is a whole number from 0 on, not {rule[key]!r}."
            yield Finding(message, "wrong type", (*path, key), hint=f"Write `{key}: 100`.")
    if len(given) > 1:
        message = f"A rule has one of {', '.join(f'`{key}`' for key in WHEN)}."
        yield Finding(message, "given twice", (*path, given[1]), hint="Write two rules.")
