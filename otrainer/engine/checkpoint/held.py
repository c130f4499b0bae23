"""What attributes hold besides data: parts of the run, objects that save themselves, and plain objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.parameter import is_lazy

from otrainer.engine.attributes import own_attributes, own_modules
from otrainer.engine.checkpoint.encode import MARK, Encoder, Path, is_plain_mapping
from otrainer.engine.checkpoint.flags import flags_of

if TYPE_CHECKING:
    from otrainer.engine.checkpoint.there import There
    from otrainer.protocols import Context

LISTS = ("callbacks", "metrics", "loggers")
ALONE = ("model", "loss", "datamodule", "io", "registry", "optimizer", "scheduler", "scaler", "run", "state", "train")
PART = "part"
VIEW = "view"
STATEFUL = "stateful"
OBJECT = "object"
# How a class says that its objects are more, or less, than their attributes.
PICKLED = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")


class Plain:
    """What every object of a class without a base has room for."""


def is_stateful(value: Any) -> bool:
    """Return whether an object saves and loads itself."""
    if isinstance(value, type):
        return False
    return all(callable(getattr(value, name, None)) for name in ("state_dict", "load_state_dict"))


def package_of(cls: type) -> str:
    return cls.__module__.partition(".")[0]


def is_plain_object(value: Any, package: str) -> bool:
    """Return whether an object is of a class of a package, written in Python, all of whose state is its attributes."""
    cls = type(value)
    if package_of(cls) != package or cls.__basicsize__ != Plain.__basicsize__ or not hasattr(value, "__dict__"):
        return False
    own = [
        name
        for base in cls.__mro__[:-1]
        for name in ("__reduce__", "__getstate__", "__setstate__")
        if name in vars(base)
    ]
    return not own and hasattr(value, "__dict__")


def own_values(part: Any) -> dict[str, Any]:
    """Return what an object holds by name, be it in its dictionary or in slots."""
    slots = [names for cls in type(part).__mro__ for names in [vars(cls).get("__slots__", ())]]
    names = [name for each in slots for name in ([each] if isinstance(each, str) else each)]
    in_slots = {name: getattr(part, name) for name in names if name[:2] != "__" and hasattr(part, name)}
    return {**in_slots, **getattr(part, "__dict__", {})}


def set_value(part: Any, name: str, value: Any) -> None:
    """Let an object hold a value, whatever its class says of setting attributes."""
    if name in getattr(part, "__dict__", {}):
        vars(part)[name] = value
    else:
        object.__setattr__(part, name, value)


class Things:
    """The parts of a run and of its model by their names, for attributes that refer to them."""

    def __init__(self, run: Context | Any) -> None:
        self.run = run
        self._by_name: dict[str, Any] | None = None
        self._names: dict[int, str] | None = None
        self._memory: dict[Any, str] | None = None

    @property
    def by_name(self) -> dict[str, Any]:
        if self._by_name is None:
            self._by_name = dict(self._named())
        return self._by_name

    def name_of(self, value: Any) -> str | None:
        if self._names is None:
            self._names = {id(thing): name for name, thing in reversed(self.by_name.items())}
        return self._names.get(id(value))

    def holder_of(self, value: torch.Tensor) -> str | None:
        """Return the name of the parameter or buffer whose memory a tensor sees, None where it has its own."""
        if self._memory is None:
            found = [(memory_of(thing), name) for name, thing in self.by_name.items()]
            self._memory = {memory: name for memory, name in reversed(found) if memory is not None}
        return self._memory.get(memory_of(value))

    def _named(self) -> Iterator[tuple[str, Any]]:
        yield "ctx", self.run
        for name in ALONE:
            if getattr(self.run, name, None) is not None:
                yield name, getattr(self.run, name)
        for section in LISTS:
            for index, part in enumerate(getattr(self.run, section)):
                yield f"{section}.{index}", part
        model = "model"
        for kind in ("named_modules", "named_parameters", "named_buffers"):
            for name, thing in getattr(self.run.model, kind)():
                yield f"{model}.{name}", thing


class Writing:
    """Writes what the attributes of a run's parts hold as data."""

    def __init__(self, run: Context | Any, there: There | None = None) -> None:
        self.things = Things(run)
        self.encoder = Encoder(self.own, places=True, is_same=self.is_same)
        self.there = there
        self._package = ""
        self._owner: Any = None  # of the attributes that are being written; None for what saves itself

    def is_same(self, path: Path, value: Any) -> bool:
        """Return whether a value is the object that its owner held when it was built."""
        return self.there is not None and self._owner is not None and self.there.holds(self._owner, path, value)

    @contextmanager
    def of(self, owner: Any) -> Iterator[None]:
        """Write attributes of an owner, in which parts of the run and what sees their memory are references."""
        before, self._owner = self._owner, owner
        try:
            yield
        finally:
            self._owner = before

    def attributes_of(self, part: Any) -> dict[str, Any]:
        """Return the attributes of a component as data; objects of its own package are data as well."""
        self._package = package_of(type(part))
        with self.of(part):
            if isinstance(part, torch.nn.Module):
                return self.marked_module(part, ())
            return {name: self.encoder.encode(value, (name,)) for name, value in own_values(part).items()}

    def model_attributes(self, model: torch.nn.Module) -> dict[str, dict[str, Any]]:
        """Return the attributes of the user's modules in a model, by the name of each.

        What has a graph behind it is a step's result, and no state.
        """
        found = {}
        for name, module in own_modules(model):
            self._package = package_of(type(module))
            values = own_attributes(module).items()
            with self.of(module):
                now = {key: self.encoder.encode(value, (key,)) for key, value in values if not has_graph(value)}
            found[name] = {**now, **self.buffers(module)}
        return found

    def buffers(self, module: torch.nn.Module) -> dict[str, torch.Tensor]:
        """Return the buffers that a module's own state leaves out, as far as they moved."""
        if self.there is None:
            return {}
        names = sorted(module._non_persistent_buffers_set & module._buffers.keys())
        return {name: module._buffers[name].detach() for name in names if self.there.moved(module, name)}  # type: ignore[union-attr]

    def own(self, encoder: Encoder, path: Path, value: Any) -> Any:
        """Return data in place of a part of the run, an object that saves itself, or a plain one; None for others."""
        if type(value) in (list, tuple) or is_plain_mapping(value):
            return None
        if type(value) is torch.Tensor:
            return None if self._owner is None else self.reference(value)
        if (name := self.things.name_of(value)) is not None:
            return {MARK: PART, "name": name}
        if isinstance(value, torch.nn.Module):
            return self.marked_module(value, path)
        if is_stateful(value):
            return encoder.marked(STATEFUL, {"class": type(value).__qualname__, "state": value.state_dict()}, path)
        if is_plain_object(value, self._package):
            parts = {"class": [type(value).__module__, type(value).__qualname__], "attributes": dict(vars(value))}
            return encoder.marked(OBJECT, parts, path)
        return None

    def reference(self, value: torch.Tensor) -> Any:
        """Return data that refer to a parameter or buffer whose memory a tensor sees; None for one with its own."""
        if (name := self.things.name_of(value)) is not None:
            return {MARK: PART, "name": name}
        holder = None if value.requires_grad else self.things.holder_of(value)
        if holder is None or (base := self.things.by_name[holder]).dtype != value.dtype:
            return None
        layout = {"shape": list(value.shape), "stride": list(value.stride())}
        return {MARK: VIEW, "name": holder, **layout, "offset": value.storage_offset() - base.storage_offset()}

    def marked_module(self, value: torch.nn.Module, path: Path) -> dict[str, Any]:
        """Return a module's state, and what its own state leaves out: flags, and attributes of it and those in it."""
        with self.of(None):
            state = self.encoder.encode(value.state_dict(), (*path, "state"))
        return {
            MARK: STATEFUL,
            "class": type(value).__qualname__,
            "state": state,
            "buffers": [name for name, _ in value.named_buffers()],
            "flags": flags_of(value),
            "attributes": self.attributes(value, path),
            "like": self.like(value),
            "averages": self.averaged(value),
        }

    def attributes(self, value: torch.nn.Module, path: Path) -> dict[str, Any]:
        """Return the attributes of a module, and of those in it by their names, that are neither state nor flags."""
        return {
            name: {
                **{
                    key: self.encoder.encode(item, (*path, *name.split("."), key))
                    for key, item in own_attributes(module).items()
                },
                **self.buffers(module),
            }
            for name, module in value.named_modules()
        }

    def like(self, value: torch.nn.Module) -> str | None:
        """Return the name of the model, or a module in it, that a module may be a copy of."""
        looks = shape_of(value)
        for name, module in self.things.run.model.named_modules():
            if shape_of(module) == looks:
                return str(name)
        return None

    def averaged(self, value: torch.nn.Module) -> str | None:
        """Return the name of the model, or a module in it, that torch's average may be made of as it is by default."""
        average = torch.optim.swa_utils.AveragedModel
        if type(value) is not average or value.avg_fn is not None or value.multi_avg_fn is not None:
            return None
        return self.like(value.module)


def memory_of(value: Any) -> Any:
    """Return what two tensors have in common that see the same memory; None for what is none, or has none."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.is_meta or is_lazy(value):
        return None
    if value.is_conj() or value.is_neg():
        return None
    start = value.untyped_storage().data_ptr()
    return (value.device, start) if start else None


def has_graph(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.grad_fn is not None


def shape_of(module: torch.nn.Module) -> list[Any]:
    """Return the classes of a module's parts and the shapes of its parameters, which one state fits.

    A lazy module counts as what it becomes with its first batch.
    """
    parts: list[Any] = [
        (name, getattr(part, "cls_to_become", None) or type(part)) for name, part in module.named_modules()
    ]
    return parts + [(name, value.shape) for name, value in module.named_parameters()]
