"""The fixtures of the tests of models, for the blocks that stand in them."""

from ..model.conftest import findings, make, registry, seeded

__all__ = ["findings", "make", "registry", "seeded"]
