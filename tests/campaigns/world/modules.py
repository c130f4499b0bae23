"""Ways by which code comes to a plugin: modules that Python finds, by name, by path, through links and finders."""

from __future__ import annotations

from random import Random

from campaigns.world.place import (
    Edit,
    Feature,
    World,
    added,
    content,
    dated,
    number,
    relinked,
    removed,
    renamed,
    replaced,
    unnoticed,
)


def of_file(name: str) -> list[Edit]:
    """The edits that any file can have."""
    return [content(name), unnoticed(name), replaced(name), dated(name)]


def helper(n: int, rng: Random) -> Feature:
    name, shadow = f"@/extensions/h{n}.py", f"@/extensions/h{n}/__init__.py"
    edits = [*of_file(name), added(shadow, f"X = {number(rng)}\n", "a package beside a module"), removed(shadow)]
    return Feature("helper", f"from .h{n} import X as VALUE\n", edits, {name: f"X = {number(rng)}\n"})


def optional(n: int, rng: Random) -> Feature:
    name, package = f"@/extensions/o{n}.py", f"@/extensions/o{n}/__init__.py"
    code = f"try:\n    from .o{n} import X as VALUE\nexcept ImportError:\n    VALUE = 1\n"
    text = f"X = {number(rng)}\n"
    edits = [added(name, text), added(package, text), removed(name), removed(f"@/extensions/o{n}"), *of_file(name)]
    return Feature("optional module", code, edits, {name: text} if rng.random() < 0.5 else {})


OPTIONAL = {
    "try": "try:\n    import optional{n}\n    VALUE = optional{n}.X\nexcept ImportError:\n    VALUE = 1\n",
    "find_spec": "import importlib.util\nVALUE = importlib.util.find_spec('optional{n}') is not None\n",
    "lazily": "def value():\n    try:\n        import optional{n}\n        return optional{n}.X\n    except ImportError:\n        return 1\n",
    "by name": "import importlib\ntry:\n    VALUE = importlib.import_module('optional{n}').X\nexcept ImportError:\n    VALUE = 1\n",
    "contextlib": "from contextlib import suppress\nVALUE = 1\nwith suppress(ImportError):\n    from optional{n} import X as VALUE\n",
}


def optional_root(n: int, rng: Random) -> Feature:
    name, elsewhere, package = f"@/optional{n}.py", f"lib_a/optional{n}.py", f"lib_a/optional{n}/__init__.py"
    way = rng.choice(list(OPTIONAL))
    edits = [
        *(added(each, f"X = {number(rng)}\n") for each in (name, elsewhere, package)),
        *map(removed, (name, elsewhere, f"lib_a/optional{n}")),
        added(f"@/optional{n}/notes.md", "", "a folder of that name"),
    ]
    code = OPTIONAL[way].replace("{n}", str(n))
    return Feature(f"optional root module ({way})", code, edits, pythonpath=("lib_a",))


def on_the_path(n: int, rng: Random) -> Feature:
    first, second, over = f"lib_a/root{n}.py", f"lib_b/root{n}.py", f"@/root{n}.py"

    def turned(world: World, _rng: Random) -> None:
        world.pythonpath.reverse()

    def added_folder(world: World, rng: Random) -> None:
        name = f"lib_{rng.randrange(1000)}"
        world.write(f"{name}/root{n}.py", f"X = {number(rng)}\n")
        world.pythonpath.insert(0, name)

    edits = [
        *of_file(first),
        *of_file(second),
        added(over, f"X = {number(rng)}\n", "a module in front of another"),
        removed(over),
        removed(first),
        Edit("another PYTHONPATH", turned),
        Edit("another folder on PYTHONPATH", added_folder),
    ]
    files = {name: f"X = {number(rng)}\n" for name in (first, second)}
    return Feature("root module", f"from root{n} import X as VALUE\n", edits, files, pythonpath=("lib_a", "lib_b"))


def library(n: int, rng: Random) -> Feature:
    """A module of Python's own, which nobody else imports, or of an installed package."""
    name = rng.choice(["colorsys", "chunk", "iniconfig", "pluggy"])
    over, on_path = f"@/{name}.py", f"lib_a/{name}.py"
    edits = [
        *(added(each, f"X = {number(rng)}\n", "a module in front of an installed one") for each in (over, on_path)),
        *(removed(each) for each in (over, on_path)),
        *of_file(over),
    ]
    return Feature(
        "installed module", f"import {name}\nVALUE = getattr({name}, 'X', 1)\n", edits, pythonpath=("lib_a",)
    )


def namespace(n: int, rng: Random) -> Feature:
    one, other, init = f"@/ns{n}/part.py", f"lib_a/ns{n}/other.py", f"lib_a/ns{n}/__init__.py"
    code = f"import ns{n}\ntry:\n    from ns{n} import part\n    VALUE = part.X\nexcept ImportError:\n    VALUE = 2\ntry:\n    from ns{n} import other\n    VALUE += other.X\nexcept ImportError:\n    pass\nVALUE += getattr(ns{n}, 'Y', 0)\n"
    edits = [
        *of_file(one),
        *of_file(other),
        added(init, "", "`__init__` in a namespace package"),
        added(f"@/ns{n}/__init__.py", f"Y = {number(rng)}\n", "`__init__` in a namespace package"),
        removed(f"@/ns{n}/__init__.py"),
        removed(one),
        added(f"lib_a/ns{n}/part.py", f"X = {number(rng)}\n", "a part further on"),
    ]
    files = {name: f"X = {number(rng)}\n" for name in (one, other)}
    return Feature("namespace package", code, edits, files, pythonpath=("lib_a",))


def walked(n: int, rng: Random) -> Feature:
    folder = f"@/extensions/w{n}"
    code = (
        f"import importlib\nimport pkgutil\n\nfrom . import w{n}\n\nVALUE = 0\n"
        f"for found in pkgutil.iter_modules(w{n}.__path__):\n"
        f"    VALUE = VALUE * 3 + importlib.import_module(f'{{w{n}.__name__}}.{{found.name}}').X\n"
    )
    files = {f"{folder}/__init__.py": "", f"{folder}/one.py": f"X = {number(rng)}\n"}
    edits = [
        *of_file(f"{folder}/one.py"),
        added(f"{folder}/two.py", f"X = {number(rng)}\n", "a module in a package that is walked"),
        renamed(f"{folder}/one.py", f"{folder}/zero.py"),
        removed(f"{folder}/two.py"),
        added(f"{folder}/inner/__init__.py", f"X = {number(rng)}\n", "a package in a package that is walked"),
    ]
    return Feature("walked package", code, edits, files)


def by_name(n: int, rng: Random) -> Feature:
    files = {f"@/extensions/by{n}_{each}.py": f"X = {number(rng)}\n" for each in ("one", "two")}
    way = rng.choice(["constant", "joined", "file"])
    names = {"constant": f"'extensions.by{n}_one'", "joined": f"'.'.join(['extensions', 'by{n}_' + 'one'])"}
    edits = [edit for name in files for edit in of_file(name)]
    if way == "file":
        files[f"@/extensions/name{n}.txt"] = "one"
        names["file"] = f"'extensions.by{n}_' + (Path(__file__).parent / 'name{n}.txt').read_text()"
        edits.append(Edit("another name in a file", lambda world, _: world.write(f"@/extensions/name{n}.txt", "two")))
    code = f"import importlib\nfrom pathlib import Path\n\nVALUE = importlib.import_module({names[way]}).X\n"
    return Feature(f"module by name ({way})", code, edits, files)


BY_PATH = {
    "spec": "import importlib.util\nspec = importlib.util.spec_from_file_location('anything', FILE)\nmodule = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(module)\nVALUE = module.X\n",
    "loader": "from importlib.machinery import SourceFileLoader\nVALUE = SourceFileLoader('anything', str(FILE)).load_module().X\n",
    "runpy": "import runpy\nVALUE = runpy.run_path(str(FILE))['X']\n",
    "exec": "found = {}\nexec(FILE.read_text(), found)\nVALUE = found['X']\n",
    "compile": "found = {}\nwith open(FILE) as stream:\n    exec(compile(stream.read(), str(FILE), 'exec'), found)\nVALUE = found['X']\n",
}


def by_path(n: int, rng: Random) -> Feature:
    way, name = rng.choice(list(BY_PATH)), f"scripts/s{n}.py"
    code = f"from pathlib import Path\nFILE = Path(__file__).parents[1] / '{name}'\n{BY_PATH[way]}"
    return Feature(f"code by path ({way})", code, of_file(f"@/{name}"), {f"@/{name}": f"X = {number(rng)}\n"})


PATHS = {
    "sys.path.insert": "import sys\nfor each in FOLDERS:\n    sys.path.insert(0, each)\n",
    "sys.path.append": "import sys\nfor each in FOLDERS:\n    sys.path.append(each)\n",
    "sys.path +=": "import sys\nsys.path += FOLDERS\n",
    "addsitedir": "import site\nfor each in FOLDERS:\n    site.addsitedir(each)\n",
}


def path_changed(n: int, rng: Random) -> Feature:
    one, two, root = f"@/more/one{n}/found{n}.py", f"@/more/two{n}/found{n}.py", f"@/found{n}.py"
    way = rng.choice(list(PATHS))
    folders = f"FOLDERS = [str(Path(__file__).parents[1] / 'more' / each) for each in ('one{n}', 'two{n}')]\n"
    code = f"from pathlib import Path\n{folders}{PATHS[way]}from found{n} import X as VALUE\n"
    files = {two: f"X = {number(rng)}\n", f"@/more/one{n}/keep.txt": ""}
    edits = [
        *of_file(two),
        added(one, f"X = {number(rng)}\n", "a module in another folder of the path"),
        removed(one),
        added(root, f"X = {number(rng)}\n", "a module in front of another"),
        removed(root),
    ]
    return Feature(f"path changed ({way})", code, edits, files)


def package_extended(n: int, rng: Random) -> Feature:
    way = rng.choice([f"p{n}.__path__.append(FOLDER)", f"p{n}.__path__.insert(0, FOLDER)"])
    one, two = f"@/extensions/p{n}/part.py", f"@/more/parts{n}/part.py"
    code = f"from pathlib import Path\nfrom . import p{n}\nFOLDER = str(Path(__file__).parents[1] / 'more/parts{n}')\n{way}\nfrom .p{n}.part import X as VALUE\n"
    files = {f"@/extensions/p{n}/__init__.py": "", two: f"X = {number(rng)}\n"}
    edits = [
        *of_file(two),
        added(one, f"X = {number(rng)}\n", "a module in front of another"),
        *of_file(one),
        removed(one),
    ]
    return Feature("package extended", code, edits, files)


def in_steps(n: int, rng: Random) -> Feature:
    """A link to a link to a folder of code."""
    places = (f"elsewhere/s{n}_one", f"elsewhere/s{n}_two")
    files = {f"{place}/m.py": f"X = {number(rng)}\n" for place in places}
    links = {f"elsewhere/s{n}": places[0], f"@/extensions/s{n}": f"elsewhere/s{n}"}
    edits = [relinked(f"elsewhere/s{n}", *places), *(edit for name in files for edit in of_file(name))]
    return Feature("link to a link", f"from .s{n}.m import X as VALUE\n", edits, files, links)


def linked(n: int, rng: Random) -> Feature:
    places = (f"elsewhere/l{n}_one", f"elsewhere/l{n}_two")
    link = f"@/extensions/l{n}"
    files = {
        f"{place}/{name}": text
        for place in places
        for name, text in (("__init__.py", ""), ("m.py", f"X = {number(rng)}\n"))
    }
    edits = [relinked(link, *places), *(edit for place in places for edit in of_file(f"{place}/m.py"))]
    return Feature("linked folder", f"from .l{n}.m import X as VALUE\n", edits, files, {link: places[0]})


def linked_file(n: int, rng: Random) -> Feature:
    places = (f"elsewhere/k{n}_one.py", f"elsewhere/k{n}_two.py")
    link = f"@/extensions/k{n}.py"
    files = {place: f"X = {number(rng)}\n" for place in places}
    edits = [relinked(link, *places), *(edit for place in places for edit in of_file(place))]
    return Feature("linked module", f"from .k{n} import X as VALUE\n", edits, files, {link: places[0]})


FINDER = """\
import importlib.util
import sys
from pathlib import Path

MAPPING = {"edited%(n)d": str(Path(__file__).parents[1] / "elsewhere/%(where)s/edited%(n)d.py")}


class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in MAPPING:
            return importlib.util.spec_from_file_location(name, MAPPING[name])
        return None


def install():
    sys.meta_path.append(Finder)
"""


def editable(n: int, rng: Random) -> Feature:
    way = rng.choice(["pth", "finder"])
    files = {f"elsewhere/{where}/edited{n}.py": f"X = {number(rng)}\n" for where in (f"e{n}_one", f"e{n}_two")}
    if way == "pth":
        name = f"site/edited{n}.pth"
        files[name] = f"../elsewhere/e{n}_one\n"
        moved = Edit("installed from elsewhere", lambda world, _: world.write(name, f"../elsewhere/e{n}_two\n"))
    else:
        name = f"site/finder{n}.py"
        files[name] = FINDER % {"n": n, "where": f"e{n}_one"}
        files[f"site/edited{n}.pth"] = f"import finder{n}; finder{n}.install()\n"

        def install(world: World, _: Random) -> None:
            """Write another finder, and leave nothing that was compiled of the first, as installers do."""
            world.write(name, FINDER % {"n": n, "where": f"e{n}_two"})
            for compiled in world.path("site/__pycache__").glob(f"finder{n}.*"):
                compiled.unlink()

        moved = Edit("installed from elsewhere", install)
    root = f"@/edited{n}.py"
    edits = [
        moved,
        *of_file(f"elsewhere/e{n}_one/edited{n}.py"),
        *of_file(f"elsewhere/e{n}_two/edited{n}.py"),
        added(root, f"X = {number(rng)}\n", "a module in front of another"),
        removed(root),
    ]
    lazily = rng.random() < 0.5
    code = (
        f"def value():\n    from edited{n} import X\n    return X\n"
        if lazily
        else f"from edited{n} import X as VALUE\n"
    )
    return Feature(f"editable install ({way}{', lazily' if lazily else ''})", code, edits, files)


MODULES = (
    helper, library, optional, optional_root, on_the_path, namespace, walked, by_name, by_path, path_changed,
    package_extended, linked, linked_file, in_steps, editable,
)  # fmt: skip
