"""Count down the limits while one config is resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otrainer.config.limits import DEFAULTS, Limits, or_raise
from otrainer.config.nodes import Mapping, Node, length_of, place_of
from otrainer.errors import ConfigError

if TYPE_CHECKING:
    from otrainer.config.nodes import NodeT
    from otrainer.errors import ConfigPath

TOO_LARGE = "config too large"
USED_OFTEN: Final = "Look for parts that use each other many times over."


class Budget:
    """Counts down from the limits; everything that a config makes grow asks here first."""

    __slots__ = ("bytes", "includes", "limits", "nodes", "steps", "text")

    def __init__(self, limits: Limits = DEFAULTS) -> None:
        self.limits = limits
        self.bytes = limits.file_size
        self.includes = limits.includes
        self.nodes = limits.nodes
        self.steps = limits.steps
        self.text = limits.text

    def spend(self, steps: int, node: Node | None, path: ConfigPath = ()) -> None:
        """Take steps at `node`. Raises ConfigError where they are more than are left."""
        self.steps -= steps
        if self.steps < 0:
            message = f"Putting this config together takes more than {self.limits.steps:,} steps."
            raise too_large(message, "nodes", node, path)

    def write(self, length: int, node: Node | None, path: ConfigPath = ()) -> None:
        """Take so many characters that expressions give. Raises ConfigError where they are more than are left."""
        self.text -= length
        if self.text < 0:
            message = f"All that expressions give comes to more than {self.limits.text:,} characters."
            raise too_large(message, "text", node, path)

    def read(self, tree: Mapping) -> None:
        """Take the nodes of a file. Raises ConfigError where they are more than are left."""
        self.nodes -= tree.size
        if self.nodes < 0:
            message = f"The files of this config hold more than {self.limits.nodes:,} nodes together."
            raise too_large(message, "nodes", tree, ())

    def include(self, entry: Node, path: ConfigPath) -> None:
        """Take an entry of `defaults`. Raises ConfigError where none is left."""
        self.includes -= 1
        if self.includes < 0:
            message = f"The files of this config list more than {self.limits.includes:,} others."
            raise too_large(message, "includes", entry, path)

    def within(self, node: NodeT, path: ConfigPath, how: str) -> NodeT:
        """`node`, unless it has become too large; `how` says by what. Raises ConfigError."""
        limits = self.limits
        if node.size <= limits.nodes and node.depth <= limits.depth and length_of(node) <= limits.text:
            return node
        if node.size > limits.nodes:
            raise too_large(
                f"{how} this part of the config holds more than {limits.nodes:,} nodes.", "nodes", node, path
            )
        if node.depth <= limits.depth:
            what = f"more than {limits.text:,} characters, paths to values included"
            raise too_large(f"{how} this part of the config holds {what}.", "text", node, path)
        what = f"collections nested more than {limits.depth} deep"
        raise too_large(f"{how} this part of the config holds {what}.", "depth", node, path)


def too_large(message: str, limit: str, node: Node | None, path: ConfigPath) -> ConfigError:
    hint = or_raise(USED_OFTEN, limit)
    return ConfigError(message, title=TOO_LARGE, config_path=path, location=place_of(node), hint=hint)
