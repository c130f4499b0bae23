"""Random plugin packages: modules made of pieces, each of one construct, that use one another in many ways."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

MODULES = ("base", "helper", "extra", "sub/deep", "plugin", "second")
# Each piece: its text ({n} a number of its own, {c} {d} constants, {ref} the value of an earlier piece), and how its
# value is asked for. `{name}` in the latter stands for the first word after the colon, as an importer calls it.
PIECES = {
    "function": ("def f{n}(x):\n    return x * {c} + {ref}\n", "f{n}:{name}(x)"),
    "class": (
        "class C{n}:\n    def __init__(self, k={d}):\n        self.k = k\n\n    def run(self, x):\n"
        "        return x + self.k * {c} + {ref}\n",
        "C{n}:{name}().run(x)",
    ),
    "class attribute": (
        "class A{n}:\n    scale = {c}\n    table = [{d}, {c}]\n\n    def run(self, x):\n"
        "        return x * self.scale + self.table[0] + {ref}\n",
        "A{n}:{name}().run(x)",
    ),
    "metaclass": (
        "class M{n}(type):\n    def __new__(mcs, name, bases, space):\n        space['made'] = {c}\n"
        "        return super().__new__(mcs, name, bases, space)\n\n\nclass W{n}(metaclass=M{n}):\n"
        "    def run(self, x):\n        return x + self.made + {ref}\n",
        "W{n}:{name}().run(x)",
    ),
    "decorator": (
        "def deco{n}(step):\n    def wrap(fn):\n        def call(x):\n            return fn(x) * {c} + step\n"
        "        return call\n    return wrap\n\n\n@deco{n}({d})\ndef g{n}(x):\n    return x + {ref}\n",
        "g{n}:{name}(x)",
    ),
    "pure decorator": (
        "import functools\n\n\ndef wrapped{n}(fn):\n    @functools.wraps(fn)\n    def call(x):\n        return fn(x) - {c}\n"
        "    return call\n\n\n@wrapped{n}\ndef p{n}(x):\n    return x + {d} + {ref}\n\n\n@functools.lru_cache\n"
        "def q{n}(x):\n    return p{n}(x) * 2\n",
        "q{n}:{name}(x)",
    ),
    "closure": (
        "def outer{n}(k):\n    base = {c}\n\n    def inner(x):\n        return x * k + base\n\n    return inner\n\n\n"
        "made{n} = outer{n}({d})\n\n\ndef use{n}(x):\n    return made{n}(x) + {ref}\n",
        "use{n}:{name}(x)",
    ),
    "default argument": (
        "LIMIT{n} = {c}\n\n\ndef lim{n}(x, limit=LIMIT{n}, *, add={d}):\n    return min(x, limit) + add + {ref}\n",
        "lim{n}:{name}(x)",
    ),
    "comprehension": (
        "TABLE{n} = {{key: key * {c} for key in range(4)}}\nLIST{n} = [v + {d} for v in TABLE{n}.values() if v]\n\n\n"
        "def comp{n}(x):\n    return sum(LIST{n}) + x + sum(x for x in range({c})) + {ref}\n",
        "comp{n}:{name}(x)",
    ),
    "alias": (
        "def orig{n}(x):\n    return x - {c} + {ref}\n\n\nalias{n} = orig{n}\nother{n} = alias{n}\n",
        "other{n}:{name}(x)",
    ),
    "conditional import": (
        "try:\n    from json import loads as load{n}\nexcept ImportError:\n    load{n} = None\nif {c} > 3:\n"
        "    from math import floor as cut{n}\nelse:\n    from math import ceil as cut{n}\n\n\n"
        "def cond{n}(x):\n    return cut{n}(x + 0.5) + load{n}('{d}') + {ref}\n",
        "cond{n}:{name}(x)",
    ),
    "global at import": (
        "TOTAL{n} = 0\nfor step{n} in range({c}):\n    TOTAL{n} += step{n} * {d}\n\n\ndef add{n}(x):\n    return x + TOTAL{n} + {ref}\n",
        "add{n}:{name}(x)",
    ),
    "global by function": (
        "COUNT{n} = {c}\n\n\ndef bump{n}(by):\n    global COUNT{n}\n    COUNT{n} += by\n\n\nbump{n}({d})\n\n\n"
        "def cnt{n}(x):\n    return x + COUNT{n} + {ref}\n",
        "cnt{n}:{name}(x)",
    ),
    "unused side effect": (
        "SEEN{n} = []\n\n\ndef note{n}(value):\n    SEEN{n}.append(value * {c})\n    return value\n\n\n"
        "_unused{n} = note{n}({d})\n\n\ndef seen{n}(x):\n    return x + sum(SEEN{n}) + {ref}\n",
        "seen{n}:{name}(x)",
    ),
    "dataclass field": (
        "from dataclasses import dataclass, field\n\n\n@dataclass\nclass D{n}:\n    rate: int = {c}\n"
        "    names: list = field(default_factory=lambda: [{d}])\n\n    def run(self, x):\n"
        "        return x * self.rate + self.names[0] + {ref}\n",
        "D{n}:{name}().run(x)",
    ),
    "partial": (
        "from functools import partial\n\n\ndef pow{n}(k, x):\n    return k * x + {c} + {ref}\n\n\nhalf{n} = partial(pow{n}, {d})\n",
        "half{n}:{name}(x)",
    ),
    "subclass hook": (
        "class H{n}:\n    known = {{}}\n\n    def __init_subclass__(cls, **kwargs):\n        H{n}.known[cls.__name__] = cls.weight\n"
        "        super().__init_subclass__(**kwargs)\n\n\nclass S{n}(H{n}):\n    weight = {c}\n\n\n"
        "def hooked{n}(x):\n    return x + sum(H{n}.known.values()) + {d} + {ref}\n",
        "hooked{n}:{name}(x)",
    ),
    "set name": (
        "class N{n}:\n    def __set_name__(self, owner, name):\n        owner.extra = len(name) * {c}\n\n\nclass O{n}:\n"
        "    attribute = N{n}()\n\n    def run(self, x):\n        return x + self.extra + {d} + {ref}\n",
        "O{n}:{name}().run(x)",
    ),
    "subclasses": (
        "class R{n}:\n    weight = {c}\n\n\nclass R{n}a(R{n}):\n    weight = {d}\n\n\n"
        "def reflect{n}(x):\n    return x + sum(each.weight for each in R{n}.__subclasses__()) + {ref}\n",
        "reflect{n}:{name}(x)",
    ),
    "globals": (
        "def hidden{n}(x):\n    return x * {c}\n\n\ndef find{n}(x):\n    return globals()['hidden' + '{n}'](x) + {d} + {ref}\n",
        "find{n}:{name}(x)",
    ),
    "property": (
        "class P{n}:\n    @property\n    def value(self):\n        return {c}\n\n    @staticmethod\n    def twice(x):\n"
        "        return 2 * x + {d}\n\n    def run(self, x):\n        return self.twice(x) + self.value + {ref}\n",
        "P{n}:{name}().run(x)",
    ),
    "generator": (
        "def gen{n}(limit={c}):\n    for item in range(limit):\n        yield item * {d}\n\n\n"
        "def total{n}(x):\n    return sum(gen{n}()) + x + {ref}\n",
        "total{n}:{name}(x)",
    ),
    "match": (
        "def pick{n}(x):\n    match x % 3:\n        case 0:\n            return {c}\n        case 1 as other:\n"
        "            return other + {d}\n    return x + {ref}\n",
        "pick{n}:{name}(x)",
    ),
    "walrus": (
        "def wal{n}(x):\n    if (big := x * {c}) > {d}:\n        return big + {ref}\n    return x\n",
        "wal{n}:{name}(x)",
    ),
    "nested": (
        "class Q{n}:\n    class Inner:\n        depth = {c}\n\n    def run(self, x):\n        f{n} = lambda y: y + self.Inner.depth\n"
        "        return f{n}(x) + {d} + {ref}\n",
        "Q{n}:{name}().run(x)",
    ),
    "bound twice": (
        "LEVEL{n} = {c}\n\n\ndef lev{n}(x):\n    return x + {d}\n\n\ndef lev{n}(x):\n    return x + LEVEL{n} + {ref}\n\n\nLEVEL{n} = {d}\n",
        "lev{n}:{name}(x)",
    ),
    "doc": (
        'def doc{n}(x):\n    """Words {c}."""\n    return x + len(doc{n}.__doc__) + {d} + {ref}\n',
        "doc{n}:{name}(x)",
    ),
    "monkeypatched class": (
        "class Y{n}:\n    k = 1\n\n    def run(self, x):\n        return x * self.k + {d} + {ref}\n\n\nY{n}.k = {c}\n",
        "Y{n}:{name}().run(x)",
    ),
    "mutable default": (
        "def mut{n}(x, seen=[{c}]):\n    seen = [*seen, x]\n    return sum(seen) + {d} + {ref}\n",
        "mut{n}:{name}(x)",
    ),
    "enum": (
        "import enum\n\n\nclass E{n}(enum.IntEnum):\n    ONE = {c}\n    TWO = {d}\n\n\ndef en{n}(x):\n    return x + E{n}.ONE + {ref}\n",
        "en{n}:{name}(x)",
    ),
    "singledispatch": (
        "import functools\n\n\n@functools.singledispatch\ndef disp{n}(x):\n    return 0\n\n\n@disp{n}.register(int)\n"
        "def _(x):\n    return x * {c} + {d} + {ref}\n",
        "disp{n}:{name}(x)",
    ),
    "try finally": (
        "try:\n    MODE{n} = {c}\nfinally:\n    DONE{n} = {d}\n\n\ndef mode{n}(x):\n    return x + MODE{n} * DONE{n} + {ref}\n",
        "mode{n}:{name}(x)",
    ),
    "with": (
        "import contextlib\n\nSTACK{n} = []\n\n\n@contextlib.contextmanager\ndef held{n}():\n    STACK{n}.append({c})\n    yield\n\n\n"
        "with held{n}():\n    INSIDE{n} = {d}\n\n\ndef hold{n}(x):\n    return x + sum(STACK{n}) + INSIDE{n} + {ref}\n",
        "hold{n}:{name}(x)",
    ),
}
OPAQUE = ("subclasses", "globals", "doc")
NAMED = (
    "function", "class", "inheritance", "metaclass", "decorator", "closure", "default argument", "comprehension", "alias",
    "relative import", "conditional import", "re-export", "global at import", "unused side effect", "dataclass field",
    "class attribute", "partial", "patch", "register in a loop",
)  # fmt: skip


@dataclass
class Piece:
    """A stretch of a module's text, and the construct that it stands for."""

    construct: str
    text: str


@dataclass
class Offer:
    """Something of a module that others may use: its name, and how its value is asked for."""

    module: str
    name: str
    ask: str
    is_class: bool = False


@dataclass
class Package:
    """Modules as lists of pieces, and the plugins to import in their order."""

    name: str
    modules: dict[str, list[Piece]] = field(default_factory=dict)
    # Whether pieces are among it that make all of a module or package count, and with it hide what else would not.
    opaque: bool = False
    plugins: tuple[str, ...] = ("plugin", "second")

    def texts(self) -> dict[str, str]:
        found = {"__init__": "", "sub/__init__": ""}
        return found | {name: "\n".join(piece.text for piece in pieces) for name, pieces in self.modules.items()}


def make_package(rng: random.Random, name: str) -> Package:
    package, offers = Package(name, opaque=rng.random() < 0.15), []
    for number, module in enumerate(MODULES):
        pieces = package.modules[module] = (
            [Piece("future", "from __future__ import annotations\n")] if rng.random() < 0.3 else []
        )
        for index in range(rng.randint(3, 6)):
            offers.append(add_piece(rng, package, pieces, module, number * 10 + index, offers))
        if rng.random() < 0.5 and offers:
            reexport(rng, pieces, module, offers, package.name)
        if module not in ("plugin", "second") or not offers:
            continue
        if rng.random() < 0.8:
            patch(rng, package, pieces, module, offers)
        register(rng, pieces, module, offers)
    return package


def add_piece(rng, package, pieces, module, number, offers):
    """A random piece whose value uses an earlier one, perhaps of another module."""
    ref, imports = "0", []
    if offers and rng.random() < 0.8:
        ref, imports = reference(rng, module, rng.choice(offers), package.name)
    pieces += imports
    classes = [offer for offer in offers if offer.is_class]
    if classes and rng.random() < 0.12:
        base, imports = reference(rng, module, rng.choice(classes), package.name, bare=True)
        text = f"class I{number}({base}):\n    def run(self, x):\n        return super().run(x) * {rng.randint(1, 9)} + {ref}\n"
        pieces += [*imports, Piece("inheritance", text)]
        return Offer(module, f"I{number}", "{name}().run(x)", is_class=True)
    named = [each for each in NAMED if each in PIECES]
    others = [each for each in sorted(PIECES) if package.opaque or each not in OPAQUE]
    construct = rng.choice(named if rng.random() < 0.6 else others)
    text, how = PIECES[construct]
    values = {"n": number, "c": rng.randint(1, 9), "d": rng.randint(1, 9), "ref": ref, "name": "{name}"}
    name, ask = how.format(**values).split(":", 1)
    pieces.append(Piece(construct, text.format(**values)))
    return Offer(module, name, ask, is_class=ask == "{name}().run(x)" and construct != "metaclass")


def reference(rng, module, offer, package, *, bare=False):
    """The value of an offer (or its name) as a module asks for it, and the imports that this takes."""
    ask = "{name}" if bare else offer.ask
    if offer.module == module:
        return ask.format(name=offer.name), []
    dots = ".." if "/" in module else "."
    path = offer.module.replace("/", ".")
    style = rng.choice(
        ["from", "from as", "module", "absolute", "star", "lazy", "importlib"]
        if not bare
        else ["from", "from as", "module"]
    )
    if style == "from":
        return ask.format(name=offer.name), [Piece("relative import", f"from {dots}{path} import {offer.name}\n")]
    if style == "from as":
        other = f"as_{offer.name}"
        return ask.format(name=other), [Piece("relative import", f"from {dots}{path} import {offer.name} as {other}\n")]
    if style == "absolute":
        return ask.format(name=f"{package}.{path}.{offer.name}"), [Piece("import", f"import {package}.{path}\n")]
    if style == "star":
        return ask.format(name=offer.name), [Piece("star import", f"from {dots}{path} import *\n")]
    last = path.rpartition(".")[2]
    above = f"{dots}{path.rpartition('.')[0]}"
    if style == "module":
        return ask.format(name=f"{last}.{offer.name}"), [Piece("relative import", f"from {above} import {last}\n")]
    number = rng.randrange(10**6)
    if style == "lazy":
        text = f"def lazy{number}(x):\n    from {dots}{path} import {offer.name} as found\n    return {ask.format(name='found')}\n"
        return f"lazy{number}(x)", [Piece("lazy import", text)]
    text = (
        f"def dynamic{number}(x):\n    import importlib\n    found = importlib.import_module('{package}.{path}')\n"
        f"    return {ask.format(name=f'found.{offer.name}')}\n"
    )
    return f"dynamic{number}(x)", [Piece("importlib", text)]


def reexport(rng, pieces, module, offers, package):
    """A name of another module that goes through this one."""
    offer = rng.choice(offers)
    if offer.module == module:
        return
    dots, path = ".." if "/" in module else ".", offer.module.replace("/", ".")
    name = f"re_{module.replace('/', '_')}_{offer.name}"
    pieces.append(Piece("re-export", f"from {dots}{path} import {offer.name} as {name}\n"))
    offers.append(Offer(module, name, offer.ask, is_class=offer.is_class))


def patch(rng, package, pieces, module, offers):
    """A change that this module makes to another when it is imported."""
    others = [offer for offer in offers if "/" not in offer.module and (package.opaque or offer.module != module)]
    if not others:
        return
    offer = rng.choice(others)
    constant = rng.randint(1, 9)
    value = (
        f"type('Patched', (), {{'run': lambda self, x: x + {constant}}})"
        if "run(x)" in offer.ask
        else f"lambda x: x + {constant}"
    )
    forms = ["target.{name} = {value}", "setattr(target, '{name}', {value})", "vars(target)['{name}'] = {value}"]
    form = rng.choice(forms if package.opaque else forms[:1])
    text = (
        f"from . import {offer.module} as target\n"
        if offer.module != module
        else "import sys\ntarget = sys.modules[__name__]\n"
    )
    pieces.append(Piece("patch", f"{text}{form.format(name=offer.name, value=value)}\n"))


def register(rng, pieces, module, offers):
    """`register` with several components, straight down or in other ways; each is a class with a value."""
    keys, lines = [], []
    for index in range(3):
        refs = []
        for _ in range(4):
            ref, imports = local(rng, module, offers)
            pieces += imports
            refs.append(ref)
        key = f"{module}{index}"
        text = f"class Part{index}:\n    def value(self, x):\n        return [{', '.join(refs)}]\n"
        pieces.append(Piece("component", text))
        keys.append(key)
    form = rng.choice(["straight", "straight", "loop", "loop", "helper", "lambda"])
    if form == "straight":
        lines = [f"    registry.register_module('{key}', Part{index})" for index, key in enumerate(keys)]
        text = "def register(registry):\n" + "\n".join(lines) + "\n"
    elif form == "loop":
        text = f"def register(registry):\n    for index, part in enumerate([Part0, Part1, Part2]):\n        registry.register_module('{module}' + str(index), part)\n"
    elif form == "helper":
        text = (
            f"def put(registry, index, part):\n    registry.register_module('{module}' + str(index), part)\n\n\ndef register(registry):\n"
            + "".join(f"    put(registry, {index}, Part{index})\n" for index in range(3))
        )
    else:
        text = "def register(registry):\n" + "".join(
            f"    registry.register_module('{key}', lambda: Part{index}())\n" for index, key in enumerate(keys)
        )
    pieces.append(Piece("register in a loop" if form == "loop" else "register", text))


def local(rng, module, offers):
    offer = rng.choice(offers)
    if offer.module == module:
        return offer.ask.format(name=offer.name), []
    dots, path = ".", offer.module.replace("/", ".")
    other = f"got_{offer.name}"
    return offer.ask.format(name=other), [
        Piece("relative import", f"from {dots}{path} import {offer.name} as {other}\n")
    ]
