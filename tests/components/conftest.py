"""The fixtures of the tests of models, for the blocks that stand in them."""

from ..model.conftest import findings, make, one_thread, registry

__all__ = ["findings", "make", "one_thread", "registry"]
