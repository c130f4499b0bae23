"""The validation data of a run: one loader, or several by name, which are read one after another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from otrainer.engine.data.loader import Loader
from otrainer.engine.seed import RandomStream, derive_seed
from otrainer.errors import ConfigError

if TYPE_CHECKING:
    from otrainer.engine.data.generators import Generators

SPLITS = ("train", "val", "test")
NAME = re.compile(r"\w[\w.-]*")


class ValidationSets:
    """Several validation sets in their order, each with a loader of its own, where a run else has one."""

    def __init__(self, loaders: Mapping[str, Loader]) -> None:
        self._loaders = dict(loaders)

    def __bool__(self) -> bool:
        return bool(self._loaders)

    def by_name(self) -> dict[str, Loader]:
        return self._loaders

    def stand_apart(self, others: Generators) -> None:
        for loader in self._loaders.values():
            loader.stand_apart(others)

    def state_dict(self) -> dict[str, Any]:
        return {"sets": {name: loader.state_dict() for name, loader in self._loaders.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let each set go on that the checkpoint has too."""
        for name, loader in self._loaders.items():
            if name in state.get("sets", {}):
                loader.load_state_dict(state["sets"][name])

    def give_up(self) -> None:
        for loader in self._loaders.values():
            loader.give_up()

    def close(self) -> None:
        for loader in self._loaders.values():
            loader.close()


class Given:
    """What makes a loader, once it was called: the first time it returns what it gave then.

    `name` picks one of several.
    """

    def __init__(self, make: Callable[[], Any], given: Any, name: str | None = None) -> None:
        self._make, self._name, self._first = make, name, [given]
        self.__self__ = getattr(make, "__self__", None)

    def __call__(self) -> Any:
        given = self._first.pop() if self._first else self._make()
        return given if self._name is None else given[self._name]


def validation_data(make: Callable[[], Iterable[Any] | None], seed: int) -> Loader | ValidationSets:
    """Return what is validated on: the loader that `make` returns, or each of a dict of them.

    Raises ConfigError for what is no loader, and for names that cannot be logged.
    """
    with RandomStream(derive_seed(seed, "data", "val")):
        given = make()
    if not isinstance(given, dict):
        return Loader(Given(make, given), seed=seed, stage="val")
    if not given or not all(map(is_name, given)):
        raise ConfigError(
            f"`val_dataloader` returned several loaders, by the names {', '.join(map(repr, given)) or 'of none'}.",
            title="not a loader",
            config_path=("data",),
            hint="Name each validation set as its values are to be logged: by letters, digits, `_`, `.` and `-`, and "
            "not `train`, `val` or `test`.",
        )
    return ValidationSets(
        {name: Loader(Given(make, given, name), seed=seed, stage=f"val/{name}") for name in list(given)}
    )


def is_name(name: Any) -> bool:
    """Return whether a validation set may be called so: it goes behind the names of values, and is none of a split."""
    return isinstance(name, str) and NAME.fullmatch(name) is not None and name not in SPLITS
