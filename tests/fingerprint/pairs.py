"""Edits of small packages that change what a component does, and whether its fingerprint sees them.

    python tests/fingerprint/pairs.py

prints for each pair whether it really does something else, found by running it, and whether it is seen. It forks, so it
wants a process of its own.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import textwrap
import warnings
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "campaigns"))

from oracle import in_child, values_of

from otrainer.config.settings import Settings
from otrainer.fingerprint import Fingerprints, named
from otrainer.registry import Registry, load_plugins

PLUGIN = "plug.plugin"
# What a plugin gets that defines no part, and one that does not register.
PART = "\nclass Part:\n    def value(self, x):\n        return X\n"
REGISTER = "\ndef register(registry):\n    registry.register_module('part', Part)\n"
# What an edit does: the modules below `plug`, each after its name (`/name` lies beside `plug`), then old and new texts.
# The part of the plugin has the value `X` where it is not written.
PAIRS: dict[str, tuple[str, ...]] = {}


def pair(what: str, text: str, *edit: str) -> None:
    PAIRS[what] = (textwrap.dedent(text), *edit)


pair(
    "a keyword gets a default of None",
    """
    @ plugin
    def f(*, k):
        return 1

    class Part:
        def value(self, x):
            return f()
    """,
    "*, k",
    "*, k=None",
)
pair(
    "a mapping is unpacked instead of standing behind None",
    """
    @ plugin
    X = {None: {1: 2}}
    """,
    "{None: {1: 2}}",
    "{**{1: 2}}",
)
pair(
    "a class binds a name of its module",
    """
    @ plugin
    X = 1

    class Other:
        global X
        X = 2
    """,
    "X = 2",
    "X = 3",
)
pair(
    "a comprehension puts its items into a place that a name of the module says",
    """
    @ plugin
    PLACE = 0

    class Part:
        def value(self, x):
            found = [0, 0]
            [x for found[PLACE] in [5]]
            return found
    """,
    "PLACE = 0",
    "PLACE = 1",
)
pair(
    "a method is imported in the body of its class",
    """
    @ tools
    def value(self, x):
        return 1
    @ plugin
    class Part:
        from .tools import value
    """,
    "return 1",
    "return 2",
)
pair(
    "a module is imported in the body of a class",
    """
    @ tools
    X = 1
    @ plugin
    class Part:
        from . import tools as its

        def value(self, x):
            return self.its.X
    """,
    "X = 1",
    "X = 2",
)
pair(
    "a private name of a class is one of its module",
    """
    @ plugin
    _Part__width = 1

    class Part:
        def value(self, x):
            return __width
    """,
    "= 1",
    "= 2",
)
pair(
    "a star brings another value for a name that stands above it",
    """
    @ tools
    X = 2
    @ plugin
    X = 1
    from .tools import *
    """,
    "X = 2",
    "X = 3",
)
pair(
    "a star moves below a name that it brings too",
    """
    @ tools
    X = 2
    @ plugin
    from .tools import *
    X = 1
    """,
    "from .tools import *\nX = 1",
    "X = 1\nfrom .tools import *",
)
pair(
    "two stars that bring the same name change places",
    """
    @ one
    X = 1
    @ two
    X = 2
    @ plugin
    from .one import *
    from .two import *
    """,
    "from .one import *\nfrom .two import *",
    "from .two import *\nfrom .one import *",
)
pair(
    "a star moves below what changes the value that it brings",
    """
    @ tools
    X = 1
    @ plugin
    from . import tools
    from .tools import *
    tools.X = 2
    """,
    "from .tools import *\ntools.X = 2",
    "tools.X = 2\nfrom .tools import *",
)
pair(
    "modules take each other's names by stars",
    """
    @ one
    from .two import *
    X = 1
    @ two
    from .one import *
    Y = 1
    @ plugin
    from .two import *
    from .one import *
    """,
    "X = 1",
    "X = 2",
)
pair(
    "a star takes a module that its package lists",
    """
    @ sub/__init__
    __all__ = ["tools"]
    @ sub/tools
    Y = 1
    @ plugin
    from .sub import *
    X = lambda: tools.Y
    class Part:
        def value(self, x):
            return X()
    """,
    "Y = 1",
    "Y = 2",
)
pair(
    "a star imports a module that acts, since its package lists it",
    """
    @ state
    X = []
    @ sub/__init__
    __all__ = ["tools"]
    @ sub/tools
    from ..state import X
    X.append(1)
    @ plugin
    from .sub import *
    from .state import X
    """,
    "append(1)",
    "append(2)",
)
pair(
    "a star imports a module that acts, since its package lists all that lie in its folder",
    """
    @ state
    X = []
    @ sub/__init__
    from pathlib import Path
    __all__ = sorted(path.stem for path in Path(__file__).parent.glob("t*.py"))
    @ sub/tools
    from ..state import X
    X.append(1)
    @ plugin
    from .sub import *
    from .state import X
    """,
    "append(1)",
    "append(2)",
)
pair(
    "a star brings what a module computes when it is asked",
    """
    @ lazy
    __all__ = ["X"]
    def __getattr__(name):
        return 1
    @ plugin
    from .lazy import *
    """,
    "return 1",
    "return 2",
)
pair(
    "a package reads a module in it that it never names in an import",
    """
    @ sub/__init__
    from .tools import other
    class Part:
        def value(self, x):
            return tools.X
    @ sub/tools
    def other(): ...
    X = 1
    @ plugin
    from .sub import Part
    """,
    "X = 1",
    "X = 2",
)
pair(
    "a module replaces an attribute of its package when it is imported",
    """
    @ __init__
    loss = None
    @ loss
    X = 1
    @ plugin
    import plug.loss
    class Part:
        def value(self, x):
            return plug.loss.X
    """,
    "X = 1",
    "X = 2",
)
pair(
    "a package replaces a module in it, which others import by its path",
    """
    @ __init__
    from .loss import other
    class loss:
        X = 1
    @ loss
    def other(): ...
    @ plugin
    import plug.loss as module
    class Part:
        def value(self, x):
            return module.X
    """,
    "X = 1",
    "X = 2",
)
pair(
    "a package computes what is imported of it though a module in it has that name",
    """
    @ sub/__init__
    def __getattr__(name):
        if name == "tools":
            return 1
        raise AttributeError(name)
    @ sub/tools
    @ plugin
    from .sub import tools as X
    """,
    "return 1",
    "return 2",
)
pair(
    "a package is asked for a computed name, which is a module imported before",
    """
    @ sub/__init__
    @ sub/tools
    X = 1
    @ plugin
    from . import sub
    from .sub import tools as _
    class Part:
        def value(self, x):
            return getattr(sub, "to" + "ols").X
    """,
    "X = 1",
    "X = 2",
)
pair(
    "a text that is evaluated names a module that the package imports",
    """
    @ tools
    X = 1
    @ plugin
    import plug.tools
    class Part:
        def value(self, x):
            return eval("plug.tools.X")
    """,
    "X = 1",
    "X = 2",
)
pair(
    "a folder without __init__ is imported, and a module in it is read",
    """
    @ bare/inner/tools
    X = 1
    @ plugin
    import plug.bare.inner.tools
    from .bare import inner
    class Part:
        def value(self, x):
            return inner.tools.X
    """,
    "X = 1",
    "X = 2",
)
pair(
    "a plugin takes its register by a star",
    """
    @ impl
    from functools import partial
    class Part:
        def __init__(self, width):
            self.width = width
        def value(self, x):
            return self.width
    def register(registry):
        registry.register_module("part", partial(Part, 1))
    @ plugin
    from .impl import *  # register
    """,
    "Part, 1",
    "Part, 2",
)
pair(
    "a target is a name that a module takes by a star",
    """
    @ impl
    class Part:
        def value(self, x):
            return 1
    @ shown
    from .impl import *
    @ plugin
    def register(registry):
        registry.register_module("part", "plug.shown:Part")
    """,
    "return 1",
    "return 2",
)
pair(
    "a target is a name of a module that its package never names in an import",
    """
    @ sub/__init__
    from .impl import other
    @ sub/impl
    def other(): ...
    class Part:
        def value(self, x):
            return 1
    @ plugin
    def register(registry):
        registry.register_module("part", "plug.sub:impl.Part")
    """,
    "return 1",
    "return 2",
)
# What notes down that it was used, in `X`, and an object that does so whatever is done with it.
NOTING = """
@ noting
X = []

class Noting:
    def __set_name__(self, owner, name):
        X.append(name)
    def __add__(self, other):
        X.append(other)
    __or__ = __add__
    @property
    def width(self):
        X.append("width")

it = Noting()

class Told:
    def __init_subclass__(cls):
        X.append(cls.kind)
"""


def noted(what: str, text: str, *edit: str) -> None:
    pair(what, NOTING + textwrap.dedent(text), *edit)


noted(
    "a class holds an object that is told its name",
    """
    @ plugin
    from .noting import X, it
    class Other:
        one = it
    """,
    "one = it",
    "two = it",
)
noted(
    "a class is made of a base under another name",
    """
    @ plugin
    from .noting import X, Told
    Base = Told
    class Other(Base):
        kind = 1
    """,
    "kind = 1",
    "kind = 2",
)
noted(
    "a class is made of a base in a table",
    """
    @ plugin
    from .noting import X, Told
    BASES = {"told": Told}
    class Other(BASES["told"]):
        kind = 1
    """,
    "kind = 1",
    "kind = 2",
)
noted(
    "a class is made of a base that a module computes when it is asked",
    """
    @ lazy
    def __getattr__(name):
        from . import noting
        return getattr(noting, name)
    @ plugin
    from .noting import X
    from .lazy import Told
    class Other(Told):
        kind = 1
    """,
    "kind = 1",
    "kind = 2",
)
noted(
    "a class is made of a base that no statement binds",
    """
    @ hidden
    from . import noting
    globals()["Base"] = noting.Told
    @ plugin
    from .noting import X
    from .hidden import Base
    class Other(Base):
        kind = 1
    """,
    "kind = 1",
    "kind = 2",
)
noted(
    "a class is made of a base that a decorator gave a hook",
    """
    @ plugin
    from .noting import X, Told
    def hooked(cls):
        cls.__init_subclass__ = Told.__dict__["__init_subclass__"]
        return cls
    class Root: ...
    @hooked
    class Base(Root): ...
    class Other(Base):
        kind = 1
    """,
    "kind = 1",
    "kind = 2",
)
noted(
    "a class is made of a base that takes its hook from elsewhere",
    """
    @ plugin
    from .noting import X, Told
    class Base:
        __init_subclass__ = Told.__dict__["__init_subclass__"]
    class Other(Base):
        kind = 1
    """,
    "kind = 1",
    "kind = 2",
)
noted(
    "a class is made of one beside it that hides one of the module",
    """
    @ plugin
    from .noting import X, Told
    class Base: ...
    class Outer:
        class Base(Told):
            kind = 0
        class Other(Base):
            kind = 1
    """,
    "kind = 1",
    "kind = 2",
)
noted(
    "items of an enumeration are made by its other base",
    """
    @ plugin
    import enum
    from .noting import X
    class Base:
        def __init__(self, value):
            X.append(value)
    class Other(Base, enum.Enum):
        ONE = 1
    """,
    "ONE = 1",
    "ONE = 2",
)
noted(
    "values are combined that another module made",
    """
    @ plugin
    from .noting import X, it
    Y = it | 1
    """,
    "it | 1",
    "it | 2",
)
noted(
    "an attribute of another module's object is computed",
    """
    @ plugin
    import plug.noting
    from .noting import X
    Y = plug.noting.it
    """,
    "noting.it",
    "noting.it.width",
)
noted(
    "a constant is bound again by an import",
    """
    @ plugin
    from .noting import X
    Y = 1
    from .noting import it as Y
    Z = Y + 1
    """,
    "Y + 1",
    "Y + 2",
)
noted(
    "a constant stands where an import fails",
    """
    @ plugin
    from .noting import X
    try:
        from .noting import it as Y
    except ImportError:
        Y = 1
    Z = Y + 1
    """,
    "Y + 1",
    "Y + 2",
)
noted(
    "a constant is bound again in a loop",
    """
    @ plugin
    from .noting import X, it
    Y = 1
    for Y in [it]: ...
    Z = Y + 1
    """,
    "Y + 1",
    "Y + 2",
)
noted(
    "a constant is bound again by a function",
    """
    @ plugin
    from .noting import X, it
    Y = 1
    def swap():
        global Y
        Y = it
    swap()
    Z = Y + 1
    """,
    "Y + 1",
    "Y + 2",
)
noted(
    "a class hides what is built in by a name of its own",
    """
    @ plugin
    from .noting import X
    class Other:
        list = X.extend
        Y = list([1])
    """,
    "list([1])",
    "list([2])",
)
noted(
    "a function in a default is called",
    """
    @ plugin
    from .noting import X
    def width():
        return 1
    def note(made):
        X.append(made())
    def other(x=note(lambda: width())): ...
    """,
    "return 1",
    "return 2",
)


def hiding(what: str, value: str, text: str = "", *edit: str) -> None:
    """A value that is found in ways which names do not show, in a module that has the names for them."""
    head = "@ tools\nWIDTH = 1\n@ plugin\nimport builtins as b, importlib as il, inspect, pydoc, pkgutil, sys as s\n"
    part = f"class Part:\n    def value(self, x):\n        return {value}\n"
    pair(what, head + textwrap.dedent(text) + part, *(edit or ("WIDTH = 1", "WIDTH = 2")))


hiding("modules are asked for under another name", "s.modules['plug.tools'].WIDTH", "from . import tools as _\n")
hiding("a module is imported under another name", "il.import_module('plug.' + 'tools').WIDTH")
hiding("a module is imported by what a text names", "getattr(il, 'import_module')('plug.' + 'tools').WIDTH")
hiding("a name is resolved", "pkgutil.resolve_name('plug.tools:WIDTH')")
hiding("a name is located", "pydoc.locate('plug.tools.WIDTH')")
hiding("a text is executed that imports", "eval(\"__import__('plug.tools').tools.WIDTH\")")
hiding("a text is evaluated under another name", "b.eval('WIDTH')", "WIDTH = 5\n", "WIDTH = 5", "WIDTH = 6")
hiding("a module is asked for by what stands in it", "inspect.getmodule(Part).WIDTH", "WIDTH = 5\n", "= 5", "= 6")
hiding(
    "a caller is asked under another name for its names",
    "width()",
    "from inspect import stack as callers\ndef width():\n    return callers()[1].frame.f_globals['W']\nW = 5\n",
    "W = 5",
    "W = 6",
)
hiding(
    "a caller is asked for its names",
    "width()",
    "def width():\n    return inspect.stack()[1].frame.f_globals['W']\nW = 5\n",
    "W = 5",
    "W = 6",
)
hiding("a docstring is asked for by a text", "getattr(f, '__doc__')", "def f():\n    'one'\n", "'one'", "'two'")
hiding(
    "a docstring is taken from the names of a class", "vars(F)['__doc__']", "class F:\n    'one'\n", "'one'", "'two'"
)
hiding(
    "names are counted",
    "COUNT",
    "def f_one(): ...\nCOUNT = len([n for n in dir() if n.startswith('f_')])\n",
    "def f_",
    "def ",
)
hiding("annotations of the module are asked for", "sorted(__annotations__)", "one: int\n", "one:", "two:")
hiding(
    "a name of the outermost package is read",
    "__import__('plug.tools').WIDTH",
    "@ __init__\nWIDTH = 5\n@ plugin\n",
    "= 5",
    "= 6",
)
pair(
    "the docstring of the module is read",
    '''
    @ plugin
    """One."""
    X = __doc__
    ''',
    "One",
    "Two",
)
pair(
    "a file beside the module is executed",
    """
    @ tools
    X = 1
    @ plugin
    from pathlib import Path
    exec(Path(__file__).with_name("tools.py").read_text())
    """,
    "X = 1",
    "X = 2",
)
pair(
    "a module runs as a script",
    """
    @ script
    if __name__ == "__main__":
        X = 1
    @ plugin
    import runpy
    X = runpy.run_module("plug.script", run_name="__main__")["X"]
    """,
    "X = 1",
    "X = 2",
)
pair(
    "a module of another package is imported by a name that is computed",
    """
    @ /second/__init__
    @ /second/tools
    X = 1
    @ plugin
    import importlib
    name = "tools"
    X = importlib.import_module(f"second.{name}").X
    """,
    "X = 1",
    "X = 2",
)
pair(
    "a module is added that is looked for",
    """
    @ tools
    @ plugin
    from importlib.util import find_spec
    X = find_spec("plug.fast") is not None
    """,
    "@ tools",
    "@ fast",
)
pair(
    "a module is added without which a constant has another value",
    """
    @ tools
    @ plugin
    try:
        from . import fast
        X = 1
    except ImportError:
        X = 2
    """,
    "@ tools",
    "@ fast",
)
pair(
    "a module beside the package is added that a constant depends on",
    """
    @ tools
    @ plugin
    try:
        import fastlib
        X = 1
    except ImportError:
        X = 2
    """,
    "@ tools",
    "@ /fastlib",
)
pair(
    "a name is gone without which a constant has another value",
    """
    @ tools
    def fast(): ...
    @ plugin
    import contextlib
    X = 2
    with contextlib.suppress(ImportError):
        from .tools import fast
        X = 1
    """,
    "def fast",
    "def slow",
)
pair(
    "a module is added that a method looks for",
    """
    @ tools
    @ plugin
    class Part:
        def value(self, x):
            try:
                from . import fast
            except ImportError:
                return 1
            return 2
    """,
    "@ tools",
    "@ fast",
)
pair(
    "a module is added without which an import does something",
    """
    @ tools
    @ plugin
    X = []
    try:
        from . import fast
    except ImportError:
        X.append(1)
    """,
    "@ tools",
    "@ fast",
)


def registering(what: str, register: str, more: str = "") -> None:
    """What the plugin's `register` makes of a part, of which each is as wide as it is told."""
    text = f"""
@ impl
from functools import partial
class Wide:
    def __init__(self, width):
        self.width = width
    def value(self, x):
        return self.width
def put(registry, width):
    registry.register_module("part", partial(Wide, width))
def other(registry):
    put(registry, 1)
@ more
from .impl import Wide, partial
{more}
@ plugin
from .impl import Wide, other, partial, put
{textwrap.dedent(register)}
class Part: ...
"""
    pair(what, text, "5", "6")


registering(
    "the register is another function by the end of its module",
    """
    def other(registry):
        registry.register_module("part", partial(Wide, 5))
    def register(registry):
        registry.register_module("part", partial(Wide, 1))
    register = other
    """,
)
registering(
    "the register is defined again under a condition",
    """
    def register(registry):
        registry.register_module("part", partial(Wide, 1))
    if Wide:
        def register(registry):
            registry.register_module("part", partial(Wide, 5))
    """,
)
registering(
    "the register has a default of its own",
    """
    def register(registry, *, width=5):
        registry.register_module("part", partial(Wide, width))
    """,
)
registering(
    "a star below the register brings another",
    """
    def register(registry):
        registry.register_module("part", partial(Wide, 1))
    from .more import *
    """,
    "def register(registry):\n    registry.register_module('part', partial(Wide, 5))",
)
registering(
    "the register asks another function, with a width",
    """
    def register(registry):
        put(registry, 5)
    """,
)
pair(
    "an annotation in a text is evaluated",
    """
    @ plugin
    from typing import Annotated, get_type_hints
    WIDTH = 1
    class Part:
        width: "Annotated[int, WIDTH]"
        def value(self, x):
            return get_type_hints(Part, include_extras=True)["width"].__metadata__
    """,
    "WIDTH = 1",
    "WIDTH = 2",
)
pair(
    "a text in an annotation is evaluated",
    """
    @ plugin
    from typing import Annotated, Optional, get_type_hints
    WIDTH = 1
    def wide(width: Optional["Annotated[int, WIDTH]"]): ...
    X = lambda: str(get_type_hints(wide, include_extras=True))
    class Part:
        def value(self, x):
            return X()
    """,
    "WIDTH = 1",
    "WIDTH = 2",
)
pair(
    "annotations become texts",
    """
    @ tools
    STEP = 1
    class Wide:
        width: int
    @ plugin
    from .tools import Wide
    X = Wide.__annotations__
    """,
    "STEP = 1",
    "from __future__ import annotations",
)
pair(
    "a module is asked for a name that it computes and notes",
    """
    @ lazy
    X = []
    def __getattr__(name):
        if not name.startswith("__"):
            X.append(name)
        return 1
    @ plugin
    from .lazy import X
    from .lazy import one
    """,
    "import one",
    "import two",
)
pair(
    "a constant is bound again before a module takes it that is imported in a circle",
    """
    @ plugin
    Y = 1
    from . import other
    Y = 2
    X = other.Y
    @ other
    from .plugin import Y
    """,
    "from . import other\nY = 2",
    "Y = 2\nfrom . import other",
)


def moved(what: str, taking: str, binding: str, above: str) -> None:
    """Values are taken of a name that is bound above and below; then it is bound before they are."""
    text = f"@ tools\nWIDTH = 3\n@ plugin\n{above}\n{taking}\n{binding}\n"
    pair(what, text, f"{taking}\n{binding}", f"{binding}\n{taking}")


moved(
    "a default is taken later",
    "def wide(w=WIDTH):\n    return w",
    "WIDTH = 2",
    "WIDTH = 1\nclass Part:\n    def value(self, x):\n        return wide()",
)
moved("another name is taken later", "X = WIDTH", "WIDTH = 2", "WIDTH = 1")
moved("a name is taken below an import", "X = WIDTH", "from .tools import WIDTH", "WIDTH = 1")
moved("a name is taken below a star", "X = WIDTH", "from .tools import *", "WIDTH = 1")
moved(
    "a class takes its attribute later",
    "class Wide:\n    w = WIDTH",
    "WIDTH = 2",
    "WIDTH = 1\nX = lambda: Wide.w\nclass Part:\n    def value(self, x):\n        return X()",
)
moved(
    "a class takes its base later",
    "class Wide(Base): ...",
    "class Base:\n    w = 2",
    "class Base:\n    w = 1\nclass Part:\n    def value(self, x):\n        return Wide.w",
)
moved(
    "a table takes a function later",
    "TABLE = {'w': wide}",
    "def wide():\n    return 2",
    "def wide():\n    return 1\nclass Part:\n    def value(self, x):\n        return TABLE['w']()",
)
pair(
    "a value is imported in a branch after it was changed",
    """
    @ tools
    X = 1
    @ plugin
    from . import tools
    if True:
        from .tools import X
    tools.X = 2
    """,
    "if True:\n    from .tools import X\ntools.X = 2",
    "tools.X = 2\nif True:\n    from .tools import X",
)
pair(
    "a module beside the package has the name of a known one",
    """
    @ /fractions
    found = []
    def Fraction(x):
        found.append(x)
    @ plugin
    import fractions
    from fractions import found as X
    fractions.Fraction(1)
    Y = fractions.Fraction(1.5)
    """,
    "1.5",
    "2.5",
)
pair(
    "a module says itself what only type checkers see",
    """
    @ plugin
    TYPE_CHECKING = True
    if TYPE_CHECKING:
        X = 1
    """,
    "X = 1",
    "X = 2",
)


def failing(what: str, text: str, old: str, new: str) -> None:
    """A module that a plugin can do without cannot be imported any more."""
    plugin = "@ plugin\ntry:\n    from . import fast\n    X = 1\nexcept Exception:\n    X = 2\n"
    pair(what, f"@ fast\n{text}\n{plugin}", old, new)


failing("a module raises that others can do without", "Y = 1", "Y = 1", "raise ValueError")
failing("a module that others can do without reads a name that is not there", "Y = 1", "Y = 1", "Y = Z")
failing("a module that others can do without is no Python", "Y = 1", "Y = 1", "Y = = 1")
failing("a module that others can do without asks for too much", "Y = [1, 2][1]", "][1]", "][2]")
failing(
    "a module that others can do without takes a name that is gone",
    "from .more import Y\n@ more\nY = 1",
    "Y = 1",
    "Z = 1",
)
failing(
    "a module that others can do without imports one that is added", "import plug.more\n@ tools", "@ tools", "@ more"
)
pair(
    "a line has another number",
    """
    @ plugin
    import sys
    X = sys._getframe().f_lineno
    """,
    "import sys",
    "import sys\n",
)
registering(
    "the register is computed when the module is asked for it",
    """
    def made(registry):
        registry.register_module("part", partial(Wide, 5))
    def __getattr__(name):
        if name == "regi" + "ster":
            return made
        raise AttributeError(name)
    """,
)


def edited(text: str, *edit: str) -> str:
    for old, new in zip(edit[::2], edit[1::2], strict=True):
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {text}"
        text = text.replace(old, new)
    return text


def write(folder: Path, text: str) -> None:
    """The modules of a pair, each under a line `@ name`."""
    modules = {"__init__": ""}
    for part in text.strip().removeprefix("@ ").split("\n@ "):
        name, _, body = part.partition("\n")
        modules[name] = body + "\n"
    if "class Part" not in text:
        modules["plugin"] += PART
    if "regi" not in modules["plugin"]:
        modules["plugin"] += REGISTER
    for name, body in modules.items():
        path = folder / (f"{name[1:]}.py" if name.startswith("/") else f"plug/{name}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)


def ran(folder: Path) -> list[str]:
    """The target that is registered in `folder`, and its values."""
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
    registry = Registry()
    load_plugins([PLUGIN], registry=registry, settings=Settings(allowed_import_prefixes=("plug.",)))
    entry = registry.get_module("part")
    return [":".join(named(entry.factory)), in_child(partial(values_of, entry.target))]


def judged(text: str) -> tuple[str, list[str]]:
    """What a package does, and the code part of its component's definition."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), text)
        target, values = json.loads(in_child(lambda: json.dumps(ran(Path(folder)))))
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
        try:
            look = Fingerprints()
            return values, [target, look.registered(PLUGIN, "part", target).digest, look.plugin(PLUGIN).digest]
        finally:
            sys.path.remove(folder)


def verdict(text: str, *edit: str) -> tuple[bool, bool]:
    """Whether an edit changes what a component does, and whether its definition says so."""
    before, after = judged(text), judged(edited(text, *edit))
    return before[0] != after[0], before[1] != after[1]


if __name__ == "__main__":
    print(json.dumps({what: verdict(*given) for what, given in PAIRS.items()}))
