'''Numbers and constants.'''
from __future__ import annotations
INTS = 0, 00, 0_0, 1_000, 0b1_01, 0B1, 0o17, 0O1_7, 0xdead_BEEF, 0XFF, 10**100, 1 << 200
BIG = 123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890
HUGE = 0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff
FLOATS = 1., .1, 1.0e10, 1e-10, 1E+5, 0e0, 0.0, -0.0, 1_0.0_1e1_0, 0.1 + 0.2, 1e16, 1e22, 1e23, 123456789.123456789
EDGES = 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1e309, 1e999, -1e999, 1e999 - 1e999, 4.35, 2.675
IMAGINARY = 1j, 1J, 0j, -0j, 1.5e3j, 1e999j, .5j, 00j, 1_0j, 1+2j, -1-2j, (0.0).__neg__(), 1e999 + 1e999j
LEADING = 00.5, 09.5, 0777.0, 09e1, 08j
FOLDED = 1 + 2 * 3, "a" * 3, (1, 2)[0], -1, +1, ~1, not 1, - - 1, 2 ** -1, 1 if True else 2, "a" "b", () + (1,)
TUPLES = (), (1,), 1, ((),), (1, (2, 3)), [()], {}, {()}, {1: ()}, {*()}
SINGLE = True, False, None, ..., Ellipsis, NotImplemented, __debug__, __name__, __file__
CONSTANT_CALLS = float("nan"), float("inf"), complex("nanj"), int("1_0"), -float("-0.0")
EQUAL = [1, 1.0, True, 1 + 0j], [0, 0.0, -0.0, False, 0j, -0j], ["", b"", "" "", u""], [1 == True is not 1]
KEYWORDS_CLOSE = [0x1for x in ()], 1if 1else 2, 1or 2, 0xfor 1, 1in(1,), 1.and 2, 1_0if 0else 0b1or 0
ATTRIBUTES = 1 .real, 1.0.real, 1..real, 1j.imag, (1).__class__, 0x1 .__class__
assert __debug__, "said"
assert (1, "always true")
assert 1 < 2 <= 3 != 4 > 3 >= 3 == 3 is not None in [None] not in [], f"{1}"
if __debug__:
    DEBUGGING = 1
elif not __debug__:
    DEBUGGING = 0
if 0: NEVER = 1
if not 1: NEVER = 2
else: NEVER = 3
while 0: break
else: pass
while False: continue
ANNOTATED: int = 3
ONLY_ANNOTATED: "list[int]"
(BRACKETED): int = 4
INTS[0].attribute: float = 5
TABLE: dict = {}
TABLE["key"]: int = 6
x = y = z = 1
x += 1; x -= 1; x *= 2; x /= 2; x //= 1; x %= 7; x **= 2; x >>= 0; x <<= 1; x &= 3; x |= 4; x ^= 5
TABLE[1:2, ::3, ..., None:, :-1, *(1, 2)] = x
TABLE[*INTS] = TABLE[1:2, 3] = TABLE[()] = TABLE[(1, 2)] = TABLE[1,] = TABLE[:] = TABLE[::] = TABLE[x:=1]
TABLE @= x
a, *b = c, = [d, (*e, f)] = 1, 2
(g), [h], (i, [j, *k]) = 1, [2], (3, [4, 5])
*l, = 1, 2
for m, *n in [(1, 2)]: pass
for TABLE["m"], TABLE.n in (): del TABLE
del x, (y, [z]), TABLE[1], TABLE[1:2].attribute, (a)
lambda: (yield)
OPERATORS = a + b - c * d / e // f % g ** -h @ i << j >> k & l | m ^ n, not a is not b, a < b < c in d not in e is f
ORDER = a ** -b ** c, (a ** b) ** c, -a ** b, (-a) ** b, not a == b, (not a) == b, a if b else c if d else e, (a if b else c) if d else e
ORDER_AGAIN = lambda: lambda: a, (lambda: a)(), a or b and not c, (a or b) and c, a and (b and c), (a and b) and c, a and b and c
