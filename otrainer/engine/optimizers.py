"""Several optimizers by their names, which a run saves, restores and logs as one with the groups of them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from otrainer.engine.compiler import off_the_compiler
from otrainer.engine.factories import check_optimizer, needs_closure
from otrainer.errors import ConfigError, nearest

if TYPE_CHECKING:
    import torch

    from otrainer.protocols import Registry

OF = "optimizer"  # the key of a group that says whose it is


class Optimizers:
    """Optimizers by name. `every` says at which optimizer steps of the run each one steps, and `clips` their norms.

    `number` is that of the step to come, from 1: one whose turn it is not leaves its parameters as they are.
    `trains_loss` names the one that trains the loss's own parameters, if any.
    """

    defaults: Mapping[str, Any] = {}

    def __init__(
        self,
        named: Mapping[str, Any],
        every: Mapping[str, int],
        clips: Mapping[str, float | None],
        *,
        trains_loss: str | None = None,
    ) -> None:
        self.members, self.trains_loss = dict(named), trains_loss
        self.every, self.clips, self.number = dict(every), dict(clips), 1
        for name, member in self.members.items():
            for group in member.param_groups:
                group.setdefault(OF, name)
            member._opt_called = True  # else torch warns of a scheduler whose optimizer has not had its turn
        if any(callable(getattr(each, "train", None)) for each in self.members.values()):
            self.train, self.eval = self._switch("train"), self._switch("eval")

    def _switch(self, mode: str) -> Callable[[], None]:
        switches = [getattr(each, mode) for each in self.members.values() if callable(getattr(each, mode, None))]

        def switch_all() -> None:
            for switch in switches:
                switch()

        return switch_all

    @property
    def due(self) -> dict[str, Any]:
        """Return the optimizers whose turn it is."""
        return {name: each for name, each in self.members.items() if self.number % self.every[name] == 0}

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for each in self.members.values() for group in each.param_groups]

    @property
    def state(self) -> dict[Any, Any]:
        return {key: value for each in self.members.values() for key, value in each.state.items()}

    def zero_grad(self, set_to_none: bool = True) -> None:
        for each in self.members.values():
            each.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        for each in self.due.values():
            each.step()

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add a group to the optimizer that its key `optimizer` names."""
        self.members[group.get(OF, next(reversed(self.members)))].add_param_group(group)

    def state_dict(self) -> dict[str, Any]:
        """Return all state in the form of one of torch's: parameters are numbered through."""
        state: dict[int, Any] = {}
        groups: list[dict[str, Any]] = []
        for member in self.members.values():
            with off_the_compiler():
                own = member.state_dict()
            numbers = {number: len(numbered(groups)) + at for at, number in enumerate(numbered(own["param_groups"]))}
            state |= {numbers[number]: each for number, each in own["state"].items()}
            groups += [renumbered(group, numbers) for group in own["param_groups"]]
        return {"state": state, "param_groups": groups, "number": self.number}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned. Raises ValueError where it has other groups."""
        groups, self.number = list(state["param_groups"]), state["number"]
        if len(groups) != len(self.param_groups):
            raise ValueError(f"there are {len(self.param_groups)} groups of parameters, and {len(groups)} in the state")
        for member in self.members.values():
            own, groups = groups[: len(member.param_groups)], groups[len(member.param_groups) :]
            numbers = {number: at for at, number in enumerate(numbered(own))}
            known = set(member.defaults)
            member.load_state_dict(
                {
                    "state": {numbers[number]: each for number, each in state["state"].items() if number in numbers},
                    "param_groups": [renumbered(group, numbers) for group in own],
                }
            )
            for name in set(member.defaults) - known:  # torch adds the settings of groups to them
                del member.defaults[name]


def numbered(groups: Any) -> list[int]:
    return [number for group in groups for number in group["params"]]


def renumbered(group: Mapping[str, Any], numbers: Mapping[int, int]) -> dict[str, Any]:
    return {**group, "params": [numbers[each] for each in group["params"]]}


class NamedFactories:
    """The optimizer factories of a config that names several; each builds over the model's part of its name.

    Where the model has no such part, it builds over the whole model, by the names that its `parameters` give.
    """

    def __init__(self, factories: Mapping[str, Any]) -> None:
        self.factories = dict(factories)

    @property
    def chose_fused(self) -> bool:
        return any(getattr(each, "chose_fused", False) for each in self.factories.values())

    def build(self, model: torch.nn.Module, *, registry: Registry) -> Optimizers:
        """Return the optimizers. Raises ConfigError where two have one parameter."""
        parts = dict(model.named_children())
        built: dict[str, Any] = {}
        for name, factory in self.factories.items():
            is_whole = name not in parts or getattr(factory, "parameters", None)
            if name not in parts and getattr(model, "are_several", False) and not getattr(factory, "parameters", None):
                raise no_part(name, parts)
            with in_section("optimizer", name):
                built[name] = factory.build(model if is_whole else parts[name], registry=registry)
                check_optimizer(built[name], factory)
                check_alone(built[name])
        check_apart(built, model)
        every = {name: getattr(each, "every_n_steps", None) or 1 for name, each in self.factories.items()}
        clips = {name: getattr(each, "grad_clip_norm", None) for name, each in self.factories.items()}
        return Optimizers(built, every, clips, trains_loss=self._trainer_of_the_loss())

    def _trainer_of_the_loss(self) -> str | None:
        """Return which one trains the parameters of the loss, if any. Raises ConfigError where several say so."""
        names = [name for name, each in self.factories.items() if getattr(each, "trains_loss", False)]
        if len(names) > 1:
            raise loss_of_two(names[0], names[1])
        return names[0] if names else None


def loss_of_two(first: str, second: str) -> ConfigError:
    message = f"`{first}` and `{second}` both train the loss."
    path, hint = ("optimizer", second, "trains_loss"), "Leave it to one of them."
    return ConfigError(message, title="a parameter of two optimizers", config_path=path, hint=hint)


def optimizer_factory(built: Any) -> Any:
    """Return what builds the optimizers of a run: the factory of a config, or several of them as one."""
    return NamedFactories(built) if isinstance(built, Mapping) else built


@contextmanager
def in_section(section: str, name: str) -> Iterator[None]:
    """Let errors of a part be told at its name in the section that has several."""
    try:
        yield
    except ConfigError as error:
        found = (each.at_least((section,)) for each in error.findings)
        raise ConfigError.of(
            replace(each, config_path=(section, name, *each.config_path[1:]))
            if each.config_path[:1] == (section,) and each.config_path[1:2] != (name,)
            else each
            for each in found
        ) from error.__cause__


def no_part(name: str, parts: Mapping[str, Any]) -> ConfigError:
    hint = f"It has {', '.join(f'`{part}`' for part in parts)}; `parameters: [PATTERNS]` says what else it trains."
    return ConfigError(
        f"The model has no part `{name}` that this optimizer would train.",
        title="unknown part",
        config_path=("optimizer", name),
        suggestions=nearest(name, parts),
        hint=hint,
    )


def check_alone(optimizer: Any) -> None:
    """Raise ConfigError for an optimizer that evaluates the loss itself, which is not its own alone here."""
    if needs_closure(optimizer):
        raise ConfigError(
            f"`{type(optimizer).__name__}` evaluates the loss again in its step, which several optimizers share.",
            title="optimizer does not fit",
            config_path=("optimizer", "type"),
            hint="Use it alone, or another one here.",
        )


def check_apart(built: Mapping[str, Any], model: torch.nn.Module) -> None:
    """Raise ConfigError where two optimizers hold one parameter, which both would step."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    owner: dict[int, str] = {}
    for name, optimizer in built.items():
        for parameter in (each for group in optimizer.param_groups for each in group["params"]):
            if (first := owner.setdefault(id(parameter), name)) != name:
                parts = ", ".join(f"`{part}`" for part, _ in model.named_children())
                raise ConfigError(
                    f"`{first}` and `{name}` both train `{names.get(id(parameter), '?')}`.",
                    title="a parameter of two optimizers",
                    config_path=("optimizer", name),
                    hint=f"Name an optimizer as a part of the model ({parts}), or say by `parameters: [PATTERNS]` "
                    "which ones it trains.",
                )
