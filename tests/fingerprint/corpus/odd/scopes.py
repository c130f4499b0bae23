"""Which names are whose: comprehensions, classes, globals, conditional imports, and what is bound in odd places."""
import sys, os.path, os as system
import collections.abc as abstract
LIMIT = 3; FACTOR = 2; rows = [[1], [2]]; i = j = cell = 0
TABLE = {i: [j * FACTOR for j in range(i)] for i in range(LIMIT) if i if i > 1}
FLAT = [cell for row in rows for cell in row if cell for cell in [cell]]
NESTED = [[i for i in [j for j in rows[0]]] for j in rows]
LAZY = (i + LIMIT for i in rows for LIMIT in i)
TAKEN = [(kept := each) for each in rows], {(key := i): (value := j) for i, j in zip(rows, rows)}
CLOSED = [lambda: i for i in range(3)] + [lambda i=i: i for i in range(3)] + [(lambda i: i)(i) for i in rows]
STARRED = [*[x for x in rows], *(y for y in rows)], {**{k: v for k, v in ()}}
TARGETS = [a for a, (b, *c) in ()], [1 for TABLE["x"] in ()], [1 for TABLE.y in ()], [x for x, in ()]
CONDITIONAL = [x if x else y for x in rows if (y := x) or not x]
class Scoped:
    LIMIT = 5
    own = [LIMIT for _ in range(LIMIT)]
    pairs = [(i, j) for i in range(LIMIT) for j in range(FACTOR)]
    def method(self, LIMIT=LIMIT): return LIMIT, FACTOR, self.own, __class__
    class Inner(list, metaclass=type, **{}):
        LIMIT = LIMIT
        def __init_subclass__(cls, /, weight=LIMIT, **rest): super().__init_subclass__(**rest)
    class Sub(Inner, weight=FACTOR): pass
    if LIMIT: chosen = 1
    else: chosen = 2
    for loop in range(2): pass
    with system.scandir() as opened: pass
    try: import json as loader
    except ImportError: loader = None
    else: from . import names
    lambda_ = lambda self: self.LIMIT
    @property
    def value(self): return [LIMIT for LIMIT in self.own]
    @value.setter
    def value(self, new): global SET; SET = new
    @staticmethod
    def static(): pass
    del loop
    __slots__ = ("a", *("b", "c"))
    __private = 1
    annotated: int
    given: "int" = 2
    match LIMIT:
        case matched: pass
class Star(*[Scoped], **{"metaclass": type}): ...
class Called(type("Made", (), {})): ...
class Empty(): ...
class Generic_(abstract.Mapping[str, int], list[int]): ...
class Raised(ExceptionGroup, EncodingWarning): ...
try:
    class Newer(PythonFinalizationError): pass
except NameError:
    class Newer(Exception): pass
def uses_builtins(): return aiter, anext, PythonFinalizationError, WindowsError, copyright, exit, _, __build_class__
if sys.version_info >= (3, 12):
    from typing import override
    import tomllib as parser
elif sys.platform == "win32":
    from .functions import nothing as override
else:
    def override(f): return f
if system.environ.get("X"): from .strings import plain
try: from .functions import only, mixed as only_mixed
except (ImportError, AttributeError) as error: only = None
else: import odd.names
finally: import odd.newlines as ended
while LIMIT: import json; break
else: from json import *
for number in range(3): from . import latin
with system as s: import odd.marked
from .strings import *
from odd.patterns import (
    pick as picked,  # with a comment
    A,
)
from . import functions
from .. import odd as above
import odd, odd.patterns
functions.nothing = picked
odd.numbers.BIG += 1
odd.strings.plain, [*odd.strings.y] = 1, [2]
del odd.patterns.A
print(f"{odd.numbers.BIG!r:>{LIMIT}}")
setattr(odd, "x", 1)
[print(each) for each in rows]
LIMIT and print(1)
if __name__ == "__main__": print("script")
if "__main__" == __name__: print("too")
if __name__ == f"__main__": print("no")
if f"{LIMIT:{'a'}}" == "\n": print('"' "'")
TYPE_CHECKING = False
if TYPE_CHECKING: from typing import Never
import typing as t
if t.TYPE_CHECKING: from .functions import never
global LIMIT
LIMIT: int = 4
def __getattr__(name): return globals()[name]
def __dir__(): return __all__
__all__ = [name for name in dir() if name[0] != "_"] + functions.__dir__()
