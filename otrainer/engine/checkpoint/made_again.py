"""Values that `Writing` wrote as data, made again: parts of the run, what saves itself, and plain objects."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.checkpoint.buffers import make_room, room_for, set_buffer
from otrainer.engine.checkpoint.decode import Decoder, Missing
from otrainer.engine.checkpoint.encode import GONE, MARK, is_marked
from otrainer.engine.checkpoint.flags import set_flags
from otrainer.engine.checkpoint.form import told
from otrainer.engine.checkpoint.held import (
    OBJECT,
    PART,
    STATEFUL,
    VIEW,
    Things,
    is_plain_object,
    is_stateful,
    own_values,
    package_of,
    set_value,
)
from otrainer.engine.checkpoint.kinds import LostError
from otrainer.engine.checkpoint.kinds.kind import find_class

if TYPE_CHECKING:
    from otrainer.protocols import Context


class UnlikeError(TypeError):
    """A component of otrainer's has something else in the place of an attribute."""


class Reading:
    """Makes again what `Writing` wrote, for one part of a run: with what this run has, and into what the part has."""

    def __init__(self, ctx: Context, part: Any) -> None:
        self.things, self.ctx, self.part = Things(ctx), ctx, part
        self.decoder = Decoder(ctx.device, self.own)

    def own(self, decoder: Decoder, data: Mapping[str, Any], fresh: Any) -> Any:
        """Return the value of data that `Writing` marked; Missing for other data."""
        if data[MARK] == PART:
            if data["name"] not in self.things.by_name:
                raise LostError(f"was the `{data['name']}` of the run, which is not there")
            return self.things.by_name[data["name"]]
        if data[MARK] == VIEW:
            return self.view(data)
        if data[MARK] == STATEFUL:
            return self.stateful(data, fresh)
        if data[MARK] == OBJECT:
            return self.object(data, fresh)
        return Missing

    def view(self, data: Mapping[str, Any]) -> Any:
        """Return a tensor that sees the memory of a parameter or buffer, as the one of the saved run did."""
        base = self.things.by_name.get(data["name"])
        if base is None:
            raise LostError(f"was a view of the `{data['name']}` of the run, which is not there")
        return base.detach().as_strided(data["shape"], data["stride"], base.storage_offset() + data["offset"])

    def put(self, part: Any, name: str, data: Any) -> None:
        """Let an object have an attribute, or a module a buffer, as its data say; or no longer."""
        if is_marked(data, GONE):
            if name in own_values(part):
                object.__delattr__(part, name)
            return
        buffers = getattr(part, "_buffers", {}) if isinstance(part, torch.nn.Module) else {}
        if name in buffers:
            set_buffer(part, name, self.decoder.decode(data))
        else:
            fresh = own_values(part).get(name, Missing)
            made = self.decoder.decode(data, fresh)
            if fresh is not Missing and callable(fresh) and not callable(made) and is_own(part):
                raise UnlikeError(f"`{name}` is {told(made)} there, and is called")
            set_value(part, name, made)

    def stateful(self, data: Mapping[str, Any], fresh: Any) -> Any:
        if not is_stateful(fresh):
            fresh = self.copied(data)
        if "flags" in data:
            self.load_module(fresh, data)
        else:
            fresh.load_state_dict(self.decoder.decode(data["state"], fresh.state_dict()))
        return fresh

    def copied(self, data: Mapping[str, Any]) -> Any:
        """Return a copy of the module that a saved one was like, or an average of it."""
        if (averaged := data.get("averages")) is not None:
            return torch.optim.swa_utils.AveragedModel(self.ctx.model.get_submodule(averaged))
        if data.get("like") is None:
            raise LostError(f"was a `{data['class']}`, and there is none yet to take its state")
        made = copy.deepcopy(self.ctx.model.get_submodule(data["like"]))
        made.zero_grad(set_to_none=True)
        return made

    def load_module(self, module: torch.nn.Module, data: Mapping[str, Any]) -> None:
        """Load a module's state; buffers and attributes that were as they were built are those of this config."""
        fresh = module.state_dict()
        state = self.decoder.decode({**data["state"]}, fresh)
        kept = {name: fresh[name] for name in data.get("unchanged", ()) if name in fresh}
        state = {**state, **kept}
        make_room(module, room_for(module, state), state)
        module.load_state_dict(state)
        self.set_attributes(module, data["attributes"])
        set_flags(module, data["flags"])

    def set_attributes(self, module: torch.nn.Module, attributes: Mapping[str, Mapping[str, Any]]) -> None:
        modules = dict(module.named_modules())
        for name, values in attributes.items():
            if name in modules:
                for key, item in values.items():
                    self.put(modules[name], key, item)

    def object(self, data: Mapping[str, Any], fresh: Any) -> Any:
        is_there = type(fresh).__qualname__ == data["class"][1]
        made: Any = fresh if is_there else self.new_object(*data["class"])
        for name, item in data["attributes"].items():
            self.put(made, name, item)
        return made

    def new_object(self, module: str, name: str) -> Any:
        """Return an object without attributes, of a class of the package that the part is of: a file names it."""
        cls = find_class(module, name)
        package = package_of(type(self.part))
        if (
            not isinstance(cls, type)
            or package_of(cls) != package
            or any("__del__" in vars(base) for base in cls.__mro__)
        ):
            raise LostError(f"was a `{name}`, and there is none yet to take its state")
        made: Any = object.__new__(cls)
        if not is_plain_object(made, package):
            raise LostError(f"was a `{name}`, which is more than its attributes")
        return made


def is_own(part: Any) -> bool:
    """Return whether a component is otrainer's, which knows what its attributes may be."""
    return type(part).__module__.startswith("otrainer.")
