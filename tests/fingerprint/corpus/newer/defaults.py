"""Syntax of Python 3.13: type parameters with defaults."""
LIMIT = 3
BESIDE = 4


class Bound:
    weight = LIMIT


type Pair[T = Bound, *Ts = *tuple[int, Bound], **P = [Bound, str]] = tuple[T, *Ts]


def first[T: Bound = Bound](items: list[T]) -> T:
    return items[LIMIT]


class Box[T = Bound]:
    item: T
