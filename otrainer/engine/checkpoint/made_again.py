"""Values that `Writing` wrote as data, made again: parts of the run, what saves itself, and plain objects."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.checkpoint.buffers import make_room, room_for
from otrainer.engine.checkpoint.decode import Decoder, Missing
from otrainer.engine.checkpoint.encode import MARK
from otrainer.engine.checkpoint.flags import set_flags
from otrainer.engine.checkpoint.held import OBJECT, PART, STATEFUL, Things, is_plain_object, is_stateful, package_of
from otrainer.engine.checkpoint.kinds import LostError
from otrainer.engine.checkpoint.kinds.kind import find_class

if TYPE_CHECKING:
    from otrainer.protocols import Context


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
        if data[MARK] == STATEFUL:
            return self.stateful(data, fresh)
        if data[MARK] == OBJECT:
            return self.object(data, fresh)
        return Missing

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
                own = modules[name].__dict__
                for key, item in values.items():
                    own[key] = self.decoder.decode(item, own.get(key, Missing))

    def object(self, data: Mapping[str, Any], fresh: Any) -> Any:
        is_there = type(fresh).__qualname__ == data["class"][1]
        made: Any = fresh if is_there else self.new_object(*data["class"])
        own = made.__dict__
        for name, item in data["attributes"].items():
            own[name] = self.decoder.decode(item, own.get(name, Missing))
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
