"""A batch to look at: as `data` or `io` declares it, or the first one that the data module gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otrainer.commands.show_model.fake import explain, needs_numbers, summarize
from otrainer.engine.data.loader import Loader
from otrainer.engine.seed import seeded
from otrainer.engine.tree import count_samples
from otrainer.errors import ConfigError
from otrainer.registry import instantiate_value

if TYPE_CHECKING:
    from otrainer.components.io import ArgsKwargs
    from otrainer.config import ResolvedConfig
    from otrainer.registry import Registry

DECLARE = (
    "Give the class of `data` (or `io`) a method `example_batch()` that returns a batch; tensors may be on `meta`."
)


@dataclass(frozen=True)
class Example:
    """A batch and what `io` makes of it; `source` says where it comes from."""

    batch: Any
    inputs: ArgsKwargs
    targets: Any
    source: str

    @property
    def samples(self) -> int:
        return count_samples(self.targets, self.batch)


def find_example(config: ResolvedConfig, registry: Registry) -> Example | str:
    """Return a batch, or why there is none.

    Raises ConfigError where `io` finds no model inputs in the batch, and what else it raises.
    """
    seed, why = config.data["run"].get("seed") or 0, ""
    for offer in (declared_batch, first_batch):
        try:
            with seeded(seed):
                io, data = (build_section(name, config, registry) for name in ("io", "data"))
                offered = offer(data, io, seed)
        except ConfigError as error:
            return error.findings[0].message
        except Exception as error:  # noqa: BLE001 - a data module that works elsewhere is not wrong here
            return f"`data` raised {summarize(error)}"
        if offered is None:
            continue
        batch, source = offered
        try:
            inputs, targets, _ = io.split(batch, stage="train")
        except Exception as error:
            if isinstance(error, ConfigError) or not needs_numbers(error):
                raise
            why = f"`io` cannot split the batch ({source}): {explain(error)}"
            continue
        return Example(batch, inputs, targets, source)
    return why or "the training data yields no batch"


def build_section(section: str, config: ResolvedConfig, registry: Registry) -> Any:
    value = config.data[section]
    return instantiate_value(value, registry=registry, settings=config.settings, config_path=(section,))


def declared_batch(data: Any, io: Any, _seed: int) -> tuple[Any, str] | None:
    """Return the batch that a component declares without reading any data, if one does."""
    for name, component in (("data", data), ("io", io)):
        declare = getattr(component, "example_batch", None)
        batch = declare() if callable(declare) else None
        if batch is not None:
            return batch, f"declared by `{name}`"
    return None


def first_batch(data: Any, _io: Any, seed: int) -> tuple[Any, str] | None:
    """Return the first batch of the first epoch, if there is one."""
    if hasattr(data, "setup"):
        data.setup("fit")
    loader = Loader(data.train_dataloader, seed=seed, stage="train")
    try:
        batch = next(loader.epoch(0), None)
    finally:
        loader.give_up()
    return None if batch is None else (batch, "the first of training")
