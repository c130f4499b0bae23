"""What every generated model has beside its forward: its inputs, its text, and copies that stay whole."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

if TYPE_CHECKING:
    from otrainer.model.ir import Program


class GeneratedModel(nn.Module):
    """A model whose class `codegen` writes for one program; its submodules are set by name after it is made.

    Its `state_dict` keys begin with the names of the config's `modules`, or `layers.0`, `layers.1`, ... for a
    sequential model.
    """

    program: ClassVar[Program]
    ops: ClassVar[Mapping[str, Callable[..., Any]]]
    code: ClassVar[str]

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs, in the order in which they may be given by position."""
        return list(self.program.inputs)

    @property
    def optional_inputs(self) -> dict[str, Any]:
        """Inputs that may be left out, with the values that they have then."""
        return dict(self.program.defaults)

    def add_at(self, name: str, module: nn.Module) -> None:
        """Set a submodule; `layers.0` is put into a list named `layers`, whose parts come in their order."""
        parent, _, _ = name.rpartition(".")
        if not parent:
            self.add_module(name, module)
            return
        if parent not in self._modules:
            self.add_module(parent, nn.ModuleList())
        siblings = self.get_submodule(parent)
        assert isinstance(siblings, nn.ModuleList)  # noqa: S101 - names with a dot are the compiler's own
        siblings.append(module)

    def __deepcopy__(self, memo: dict[int, Any]) -> GeneratedModel:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin
