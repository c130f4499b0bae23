#!/usr/bin/env python
# type: ignore
import functools, contextlib
from functools import (wraps, partial as part,)
from .strings import plain as text, joined
def nothing(): ...
def only(a, /): pass
def mixed(a, b=1, /, c=2, *, d, e=3, **f): pass
def star(*, a): pass
def both(a, /, *b, c: int = 1, **d: "str") -> None: pass
def annotated(a: int, /, b: list[int] | None = None, *c: *tuple[int, ...], d: "late" = 1, **e: 1 + 2) -> (yield_ := 3): pass
def commented(a,  # type: int
              b=None,  # type: str
              ):
    # type: (...) -> None
    x = []  # type: list[int]
    for y in x:  # type: int
        pass
    with a as z:  # type: ignore
        pass
def mutable(a=[], b={}, c=lambda d=text, *e: (d, e), *, f={1, 2}, g=[i for i in text], h=(j := 1)): return k
@functools.lru_cache
@functools.lru_cache(maxsize=None)
@(lambda f: f)
@[wraps, part][0](nothing)
@{"k": wraps}["k"](nothing)
@(found := wraps(nothing))
@text.upper().lower if text else wraps
@wraps(nothing) or wraps(only)
@-1 + 2
@x[1:2]
@yes is not None
def decorated(): return found
lambda a, /, b=1, *c, d, e=2, **f: (a, b, c, d, e, f)
(lambda: 0)()
LAMBDAS = [lambda: None, lambda *a: a, lambda **k: k, lambda *, k: k, lambda a, /: a, lambda a=lambda b=1: b: a]
def generator():
    x = yield
    y = yield 1, 2
    z = yield from x
    x = y = yield z
    yield *x, y
    (yield)
    return (yield (yield))
async def coroutine(a):
    async with a as b, a() as (c, *d), a: pass
    async with (a as b, a as c,): pass
    async for e, *f in a: pass
    else: await a
    yield await a
    g = [h async for h in a if await h], {i: j async for i, j in a}, {k async for k in a}, (l async for l in a)
    return
async def awaited(a): return await a ** await a, -await a, not await a, [await b for b in a], await (await a)
def withs(a):
    with a: pass
    with a as b: pass
    with a, a as c: pass
    with (a): pass
    with (a, a): pass
    with (a, a) as d: pass
    with (a as e, a as f): pass
    with (a), a as (g, h), a as i[0], a as j.k: pass
    with (yield a): pass
    with open(a) as f, \
         open(f) as g:
        pass
def outer():
    n = m = 1
    def inner():
        nonlocal n, m
        global text, made_here
        n += 1; text = m; made_here = n
        def innermost(): nonlocal n; n = text; del n
        class Inside: nonlocal m; m = 2; global text; text = 3
        return innermost, Inside
    return inner
def tries():
    try: pass
    except: pass
    try: pass
    except (A, B): pass
    except C as d: del d
    else: pass
    finally: pass
    try: pass
    finally: return 1
    while 1:
        try: break
        finally: continue
    try:
        try: pass
        except* A: pass
        except* (B, C) as group: raise
        else: raise group from None
        finally: raise A() from group
    except* E.F as g: raise g.h from g
def raising(): raise
def deleting(a): del a, a.b, a[1], (a, [a]), a[1:2, ...]
def chained(a): return a < a <= a == a != a > a >= a in a not in a is a is not a
def sliced(a): return a[:], a[1:], a[:1], a[1:2:3], a[::], a[::-1], a[1, 2], a[1:2, 3], a[...], a[()], a[(1,)], a[*a], a[*a, 1], a[b := 1]
def starred(a): return [*a, *a], {*a}, (*a,), {**a, "k": 1, **a}, a(*a, *a, k=1, *a, **a, l=2, **a), [*a, *[*a]]
def star_return(a): return *a, 1
def star_for(a):
    for x in *a, *a: yield *x, *a
    for x, in a: pass
    for (x) in a: pass
    else: return
def calls(a): return a(), a(a), a(a,), a(k=a), a(x for x in a), a((x for x in a), 1), a(a)(a)(a), a(b := 1), a(b=1), a(**{"k": 1})
def ternary(a): return a if a else a if a else a, (a if a else a) if a else a, lambda: a if a else a
def walrus(a):
    while (b := a()) and (c := b): print(d := c, (e := 1), f"{(f := 2)}", [g := 1, h := 2], {i := 3})
    if any((last := x) for x in a): return last
    return [y := 1, y**2], {k: (v := k) for k in a}, [z := w for w in a], lambda: (u := 1), (t := u,)
def continued(a): \
    return a \
        + 1, (
        a
        +
        2   # a comment
    ), [
        1,

        2,
    ]; \
    pass
def semicolons(): a = 1; b = 2; return a, b;
def one_line(): pass; pass; pass
def	tabbed	(	a	)	:
	return	a
def nested_defs():
    def a(): return b
    def b(): return a
    class C:
        def d(self): return C, a, __class__
    return C
def star_imports_inside():
    from . import strings as found, numbers
    import odd.patterns, odd.names as named
    from .. import odd as above
    return found.plain, numbers.BIG, odd.patterns.pick, named.final, above.text
def hidden(name):
    import importlib
    eval(name); vars()[name]; locals(); importlib.import_module("odd.scopes"); __import__(name)
    return f"""{
        globals()
    }""", getattr(text, name), nothing.__doc__, nothing.__code__, sys.modules[name]
def late(a: hidden = hidden, b: "hidden" = None) -> hidden: return register
