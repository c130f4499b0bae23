"""Syntax of Python 3.12: type parameters and aliases."""
from __future__ import annotations

from collections.abc import Callable

LIMIT = 3
BESIDE = 4


class Bound:
    weight = LIMIT


type Pair[T: Bound] = tuple[T, T]
type Call[**P, R] = Callable[P, R]
type Many[*Ts] = tuple[*Ts]


def first[T: (int, str)](items: list[T], limit: int = LIMIT) -> T:
    return items[:limit][0]


async def later[**P, *Ts](call: Call[P, tuple[*Ts]]) -> Pair[Bound]:
    return await call()


class Box[T: Bound](Bound):
    type Inner = list[T]

    def pair[U](self, other: U) -> tuple[T, U]:
        return self.item, other
