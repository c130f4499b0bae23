"""What a model is before it is code: frozen plain data that both frontends compile to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath


Returns: TypeAlias = Literal["single", "tuple", "dict"]


@dataclass(frozen=True, slots=True)
class Ref:
    """An input or an earlier result, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list among the arguments of a node."""

    items: tuple[Arg, ...]


@dataclass(frozen=True, slots=True)
class Pairs:
    """A mapping among the arguments of a node."""

    pairs: tuple[tuple[Any, Arg], ...]


@dataclass(frozen=True, slots=True)
class Picks:
    """Names for entries of the dict that a node returns: (name, key)."""

    pairs: tuple[tuple[str, str | int], ...]


Arg: TypeAlias = Ref | Items | Pairs | str | int | float | bool | None
Default: TypeAlias = str | int | float | bool | None
Out: TypeAlias = str | tuple[str, ...] | Picks


@dataclass(frozen=True, slots=True)
class Node:
    """One call: of a module or an op, with its arguments and the names of what comes out.

    `path` is where the config writes it; it does not count when nodes are compared.
    """

    name: str
    kind: Literal["module", "op"]
    target: str
    args: tuple[Arg, ...]
    kwargs: tuple[tuple[str, Arg], ...]
    out: Out
    path: ConfigPath = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Program:
    """The forward pass: inputs, calls in their order, and what is returned as (key, value) pairs.

    `defaults` are those of the inputs that may be left out, the last ones, as (name, value) pairs.
    """

    inputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, str], ...]
    returns: Returns
    defaults: tuple[tuple[str, Default], ...] = ()

    @property
    def ops(self) -> tuple[str, ...]:
        """Names of the ops that are called, each once, in order of first use."""
        return tuple(dict.fromkeys(node.target for node in self.nodes if node.kind == "op"))


@dataclass(frozen=True, slots=True)
class ModuleSpec:
    """A submodule to build; its name may have a dot (`layers.0`)."""

    name: str
    spec: Mapping[str, Any]
    path: ConfigPath


@dataclass(frozen=True, slots=True)
class Tie:
    """Names of parameters that are one tensor, and where the config writes them."""

    names: tuple[str, ...]
    path: ConfigPath


@dataclass(frozen=True, slots=True)
class ModelIR:
    """Submodules in the order in which they are built (and draw their initial weights), and the forward pass.

    A model of several components has none of either: its `parts` are IRs, or specs of modules, by their names.
    """

    modules: tuple[ModuleSpec, ...]
    program: Program
    parts: tuple[tuple[str, ModelIR | ModuleSpec], ...] = ()
    ties: tuple[Tie, ...] = ()

    @property
    def generated(self) -> tuple[ModelIR, ...]:
        """Return the IRs that have a forward pass: itself, or those of its parts."""
        return tuple(part for _, part in self.parts if isinstance(part, ModelIR)) if self.parts else (self,)

    def by_name(self) -> Iterator[tuple[str, ModuleSpec]]:
        """Yield the specs of all submodules with their names in the model, in the order in which they are built."""
        yield from ((module.name, module) for module in self.modules)
        for name, part in self.parts:
            if isinstance(part, ModuleSpec):
                yield name, part
            else:
                yield from ((f"{name}.{own}", module) for own, module in part.by_name())

    def spec_path(self, node: Node) -> ConfigPath:
        """Return where the config writes what `node` runs: the spec of its module, or of an op, the call itself.

        `node.path` is where it writes the call. Both come from this IR, since a class of one program serves all configs
        that come to the same text.
        """
        own = next((each for each in self.generated if any(one is node for one in each.program.nodes)), self)
        specs = {module.name: module.path for module in own.modules} if node.kind == "module" else {}
        return specs.get(node.target, node.path)
