"""Tell otrainer's own symbols apart by what they are called and hold, wherever in the package they are defined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from otrainer.fingerprint.normal_form import digest_of

if TYPE_CHECKING:
    from otrainer.fingerprint.graph import Node
    from otrainer.fingerprint.names import Symbol


def identities(nodes: Mapping[Symbol, Node]) -> dict[Symbol, str]:
    """Return a digest for each symbol: of its name, its form, and all that it reaches among `nodes`.

    Names may lead in circles, so the digests are refined by those of what each name stands for until they tell no more
    symbols apart (Weisfeiler and Leman, 1968).
    """
    found = {symbol: digest_of(f"{symbol[1]} {node.digest}") for symbol, node in nodes.items()}
    known = 0
    while len(set(found.values())) > known:
        known = len(set(found.values()))
        found = {symbol: digest_of(f"{found[symbol]} {meanings(node, found)}") for symbol, node in nodes.items()}
    return found


def meanings(node: Node, found: Mapping[Symbol, str]) -> str:
    """Return what the names in a symbol stand for."""
    every = ((chain, [found[each] for each in symbols if each in found]) for chain, symbols in node.meanings)
    return " ".join(f"{chain}={','.join(digests)}" for chain, digests in every if digests)
