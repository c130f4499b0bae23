"""Every pattern."""
__all__ = ["pick"]
from . import numbers
from .numbers import *
A = B = object
def pick(value, *rest):
    match value:
        case 0 | -1 | 1.5 | -2.5 | 1+2j | -1-2j | 0.0 | -0.0 | 0x10: return "number"
        case "a" "b" | b"c" | r"\d" | u"e" | """f""": return "text"
        case None | True | False: return "single"
        case numbers.BIG | numbers.TABLE.key: return "value"
        case [] | (): return "empty"
        case [1] | (1,) | 1, : return "one"
        case [1, 2, *_] | [*_, 1] | (1, *_, 2): return "star"
        case a, *b if a > b: return a, b
        case [a, [b, (c, *d)], *_]: return a, b, c, d
        case {}: return "mapping"
        case {"k": 1, 2: "v", None: x, numbers.BIG: y, -1: z, 1+1j: w, **more}: return x, y, z, w, more
        case {"k": {"l": [1, {"m": m}]}} if (n := m): return n
        case A() | A(1) | A(1, 2) | A(k=1) | A(1, k=A(B())): return "class"
        case numbers.INTS.real(x, y=(1 | 2) as z): return x, z
        case (1 | 2) as two: return two
        case ((((inner)))): return inner
    match value, rest:
        case x, y: pass
        case (x, y) as pair: pass
    match *value, 1:
        case [*every]: return every
    match value:
        case str(text) | bytes(text): return text
        case {"only": _}: return _
        case _ if value: pass
        case _: pass
    match (yield): 
        case x: return x
    match x := value:
        case x: del x
match A:
    case B: pass
match 1:
    case 1 as BOUND_HERE: from math import pi as IN_CASE
    case [FIRST, *OTHERS]: pass
    case {"k": KEPT, **LEFT}: pass
    case A(ATTRIBUTE=TAKEN): pass
