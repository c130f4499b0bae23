"""The parts of a run as they were built: what still is so is configuration, not state."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.checkpoint.buffers import Shapes, buffer_shapes, reshaped
from otrainer.engine.checkpoint.compare import changes, frozen, lost_in, marked_lost, unmade_in, without_built
from otrainer.engine.checkpoint.encode import LOST, Encoder, is_marked
from otrainer.engine.checkpoint.flags import Flags, changed_flags, flags_of
from otrainer.engine.checkpoint.grown import several, tell_grown, weight_names
from otrainer.engine.checkpoint.held import Writing, is_stateful, own_values
from otrainer.engine.checkpoint.identity import identity_of
from otrainer.engine.checkpoint.kinds.generators import is_generator
from otrainer.engine.checkpoint.there import There
from otrainer.engine.checkpoint.unsaved import Unsaved
from otrainer.engine.compiler import off_the_compiler
from otrainer.engine.loss_modules import loss_modules
from otrainer.errors import ConfigPath, dotted
from otrainer.protocols import is_optional

if TYPE_CHECKING:
    from otrainer.engine.parts import Parts

log = logging.getLogger("otrainer")
SILENT = ("attributes", "state_dict", "state", "items", "module", "")


class ModelBuilt:
    """What a model's modules hold before it is moved or takes in a checkpoint: attributes, and shapes of buffers."""

    def __init__(self, parts: Parts) -> None:
        self.there = There()
        self.attributes = frozen(Writing(parts, self.there).model_attributes(parts.model))
        self.shapes = buffer_shapes(parts.model)


class Baseline:
    """Attributes and flags of a run's parts as they were built, and what was told of those that cannot be saved."""

    def __init__(self, parts: Parts, begun: ModelBuilt | None = None) -> None:
        found = begun or ModelBuilt(parts)
        self.there = found.there
        writing = Writing(parts, self.there)
        self._model, self._shapes = found.attributes, found.shapes
        self._built = {id(part): frozen(attributes(part, writing)) for part in (*parts.with_state, parts.io)}
        self._flags = {"model": flags_of(parts.model), "loss": flags_of(parts.loss)}
        self.there.close(*loss_modules(parts.loss).values(), parts.model)
        self._identities = {id(part): identity_of(part) for part in parts.with_state}
        self._weights = {"model": weight_names(parts.model), "loss": weight_names(parts.loss)}
        self._begun: dict[int, Any] = {}
        self._trained: dict[int, Sequence[str]] = {}
        self.resumed: Sequence[Any] | None = None  # the callbacks of a checkpoint, until they have begun
        self._optimizer: Unsaved | None = None
        self._told: set[tuple[str, str]] = set()

    @property
    def lost(self) -> list[str]:
        """The places of what was told that no checkpoint can hold, so far."""
        return sorted(f"{place}.{name}" if name else place for place, name in self._told)

    def changed_flags(self, name: str, part: Any) -> Flags:
        """Return the flags of the model or the loss (by `name`) that are not those that they were built with."""
        return changed_flags(flags_of(part), self._flags[name])

    def take_flags(self, name: str, flags: Flags) -> None:
        """Take flags of the model or the loss for those that they were built with: the config decides them."""
        for kind, each in flags.items():
            self._flags[name].setdefault(kind, {}).update(each)

    def identity_of(self, part: Any) -> dict[str, Any]:
        """Return what told a component from others when it was built."""
        return self._identities[id(part)]

    def state_of(self, part: Any, where: ConfigPath, writing: Writing) -> dict[str, Any] | None:
        """Return a component's state as plain data: what it returns, or what changed in it since it was built.

        What cannot be written is told once, and left out.
        """
        if saves_itself(part):
            state = part.on_save(writing.things.run) if saves_by_hooks(part) else part.state_dict()
            if state is None:
                self.tell_none(part, where)
            return {"state_dict": self.told(writing.encoder.encode(state), part, where)}
        now, built = attributes(part, writing), self._built.get(id(part), {})
        there = self._begun.get(id(part), built)
        self.tell(now, there, part, where)
        self.tell_unmade(now, there, part, where)
        if isinstance(part, torch.nn.Module):
            kept = marked_lost(without_built(now, built))
            return {"state_dict": kept.pop("state"), "module": kept}
        found = {name: marked_lost(value) for name, value in changes(now, built).items()}
        kept = {name: value for name, value in found.items() if not is_marked(value, LOST)}
        begun = self._begun.get(id(part))
        changed = set() if begun is None else {*changes(now, begun), *self._trained.get(id(part), ())}
        trained = [name for name in kept if name in changed]
        return {"attributes": kept, **({"trained": trained} if trained else {})}

    def attributes_of(self, model: torch.nn.Module, writing: Writing) -> dict[str, Any]:
        """Return what the modules of a model hold in attributes, by their names, as far as it changed meanwhile."""
        kept = {}
        for name, values in writing.model_attributes(model).items():
            module, built = model.get_submodule(name), self._model.get(name, {})
            # What has a graph now is not among the values, but still there.
            found = changes(
                values, {key: was for key, was in built.items() if key in values or key not in vars(module)}
            )
            self.tell(found, None, module, ("model", *name.split(".")) if name else ("model",))
            plain = {key: marked_lost(value) for key, value in found.items()}
            kept[name] = {key: value for key, value in plain.items() if not is_marked(value, LOST)}
        return {name: values for name, values in kept.items() if values}

    def reshaped(self, model: torch.nn.Module) -> Shapes:
        """Return the shapes with which the model's buffers were built, of those that have another one now."""
        return reshaped(model, self._shapes)

    def tell_weights(self, name: str, part: Any) -> None:
        """Say once that the model or the loss (by `name`) has other weights than it was built with."""
        if (place := (name, "weights")) not in self._told and (now := weight_names(part)) != self._weights[name]:
            self._told.add(place)
            tell_grown(name, now, self._weights[name])

    def begin(self, parts: Any) -> None:
        """Note what `on_fit_start` has made of the callbacks: what still is so at a save, it will make again.

        What the optimizer holds beside its state is noted as well.
        """
        writing = Writing(parts, self.there)
        self._begun = {id(part): frozen(attributes(part, writing)) for part in parts.callbacks}
        self._optimizer = Unsaved(parts)

    def went_on(self, part: Any, trained: Sequence[str]) -> None:
        """Note which attributes of a callback training had changed before this run went on from a checkpoint."""
        self._trained[id(part)] = trained

    def state_of_data(self, part: Any, section: str, writing: Writing) -> dict[str, Any] | None:
        """Return the state of a data module or an io: what it returns, else the generators that it holds.

        Of an io, all attributes are kept that changed; nothing reads its epochs again, as it does those of data.
        """
        if is_stateful(part):
            return self.state_of(part, (section,), writing)
        if section == "io":
            found = self.told(changes(attributes(part, writing), self._built.get(id(part), {})), part, (section,))
            kept = {name: value for name, value in found.items() if not is_marked(value, LOST)}
            return {"attributes": kept} if kept else None
        held = {name: value for name, value in own_values(part).items() if is_generator(value)}
        return {"attributes": self.told(writing.encoder.encode(held), part, (section,))} if held else None

    def data_of(self, part: Any, name: str) -> Any:
        """Return the `state_dict` of the model, or what trains it, as plain data; None where there is no such part."""
        if part is None:
            return None
        with off_the_compiler():
            state = part.state_dict()
        return self.told(Encoder().encode(state), part, (name,))

    def told(self, data: Any, part: Any, where: ConfigPath) -> Any:
        """Return encoded data as plain data, once it is told what of it cannot be written."""
        self.tell(data, None, part, where)
        return marked_lost(data)

    def tell(self, now: Any, built: Any, part: Any, where: ConfigPath) -> None:
        """Say what of a part's encoded state cannot be written, once for each place, unless it is as it was built."""
        for path, lost in lost_in(now, built):
            name = dotted(step for step in path if step not in SILENT)
            place = dotted(where)
            if (place, name) not in self._told:
                self._told.add((place, name))
                log.warning(
                    "`%s` of `%s` (%s) %s. No checkpoint can hold that: after a resume it is as a new run has it.",
                    name, type(part).__qualname__, place, lost.why,
                )  # fmt: skip

    def tell_unsaved(self, run: Any) -> None:
        """Say, once for each, which attributes of the optimizer training changed and its `state_dict` leaves out."""
        changed = self._optimizer.changed(run) if self._optimizer else []
        if new := [name for name in changed if ("optimizer", name) not in self._told]:
            self._told |= {("optimizer", name) for name in new}
            log.warning(
                "training changes %s of the optimizer, which its `state_dict` does not have: after a resume it is as a "
                "new run has it. Let `state_dict` and `load_state_dict` of `%s` keep it.",
                several(new),
                type(run.optimizer).__qualname__,
            )

    def tell_none(self, part: Any, where: ConfigPath) -> None:
        if (place := (dotted(where), "state_dict")) not in self._told:
            self._told.add(place)
            log.warning(
                "`state_dict`, or `on_save`, of `%s` (%s) returns None, so checkpoints keep nothing of it, and a "
                "resume gives it None. Return what it is to load.",
                type(part).__qualname__, place[0],
            )  # fmt: skip

    def tell_unmade(self, now: Any, there: Any, part: Any, where: ConfigPath) -> None:
        """Say what keeps a state for which a resume will have nothing that could take it, once for each place."""
        for path, name in unmade_in(now, there):
            place = dotted(where), dotted(step for step in path if step not in SILENT)
            if place not in self._told:
                self._told.add(place)
                log.warning(
                    "`%s` of `%s` (%s) is a `%s` that was made after the run had begun. A resume has none yet to take "
                    "its state, which is lost then: make it in `__init__` or `on_fit_start`.",
                    place[1], type(part).__qualname__, place[0], name,
                )  # fmt: skip


def saves_itself(part: Any) -> bool:
    """Return whether a component says itself what its state is; a module does if it has a `state_dict` of its own."""
    return saves_by_hooks(part) or (is_stateful(part) and not is_bare_module(part))


def saves_by_hooks(part: Any) -> bool:
    """Return whether a component is a callback that keeps a state by `on_save` and `on_load`, which see the run."""
    hooks = [getattr(type(part), name, None) for name in ("on_save", "on_load")]
    return all(callable(hook) and not is_optional(hook) for hook in hooks)


def is_bare_module(part: Any) -> bool:
    return isinstance(part, torch.nn.Module) and type(part).state_dict is torch.nn.Module.state_dict


def attributes(part: Any, writing: Writing) -> dict[str, Any]:
    """Return all that a component holds, as data."""
    if saves_itself(part):
        return {}
    return writing.attributes_of(part)
