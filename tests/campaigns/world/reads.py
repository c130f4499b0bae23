"""Ways by which anything but code comes to a run: files read at import, declared data, configs, the environment."""

from __future__ import annotations

import sqlite3
from random import Random

from campaigns.world.modules import of_file
from campaigns.world.place import Edit, Feature, World, added, number, relinked, removed, renamed, varied

AT_IMPORT = {
    "open": "with open(FILE) as stream:\n    VALUE = int(stream.read())\n",
    "read_text": "VALUE = int(FILE.read_text())\n",
    "read if it exists": "VALUE = int(FILE.read_text()) if FILE.exists() else 1\n",
    "try to open": "try:\n    with open(FILE) as stream:\n        VALUE = int(stream.read())\nexcept OSError:\n    VALUE = 1\n",
    "os.open": "handle = os.open(FILE, os.O_RDONLY)\nVALUE = int(os.read(handle, 100))\nos.close(handle)\n",
    "json": "import json\nwith open(FILE) as stream:\n    VALUE = json.load(stream)\n",
    "get_data": "import pkgutil\nVALUE = int(pkgutil.get_data(__package__, '../tables/t{n}.txt'))\n",
    "numpy": "import numpy\nVALUE = numpy.loadtxt(FILE).tolist()\n",
    "fileinput": "import fileinput\nwith fileinput.input(FILE) as lines:\n    VALUE = int(''.join(lines))\n",
    "mmap": "import mmap\nwith open(FILE, 'rb') as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as held:\n    VALUE = int(held[:])\n",
    "registered": "def register(registry):\n    global VALUE\n    VALUE = int(FILE.read_text())\n",
    "relative": "with open('tables/t{n}.txt') as stream:\n    VALUE = int(stream.read())\n",
}
ASKED = {
    "exists": "VALUE = FILE.exists()\n",
    "os.path.exists": "VALUE = os.path.exists(FILE)\n",
    "is_file": "VALUE = FILE.is_file()\n",
    "is_dir": "VALUE = FILE.is_dir()\n",
    "os.access": "VALUE = os.access(FILE, os.R_OK)\n",
    "stat": "VALUE = FILE.stat().st_size if FILE.is_file() else -1\n",
    "getsize": "try:\n    VALUE = os.path.getsize(FILE)\nexcept OSError:\n    VALUE = -1\n",
    "lexists": "VALUE = os.path.lexists(FILE)\n",
}
LISTED = {
    "listdir": "VALUE = sorted(os.listdir(FOLDER))\n",
    "scandir": "VALUE = sorted(each.name for each in os.scandir(FOLDER))\n",
    "iterdir": "VALUE = sorted(each.name for each in FOLDER.iterdir())\n",
    "glob": "VALUE = sorted(each.name for each in FOLDER.glob('*.txt'))\n",
    "rglob": "VALUE = sorted(each.name for each in FOLDER.rglob('*.txt'))\n",
    "glob.glob": "import glob\nVALUE = sorted(os.path.basename(each) for each in glob.glob(f'{FOLDER}/*.txt'))\n",
    "walk": "VALUE = sorted(name for _, _, names in os.walk(FOLDER) for name in names)\n",
}
HEAD = (
    "import os\nfrom pathlib import Path\n\nFOLDER = Path(__file__).parents[1] / 'tables'\nFILE = FOLDER / 't{n}.txt'\n"
)


DATABASE = """\
import sqlite3
from pathlib import Path

base = sqlite3.connect(Path(__file__).parents[1] / "tables/d{n}.db")
try:
    VALUE = base.execute("select x from t").fetchone()[0]
finally:
    base.close()
"""


def read(n: int, rng: Random) -> Feature:
    way, name = rng.choice(list(AT_IMPORT)), f"@/tables/t{n}.txt"
    code = (HEAD + AT_IMPORT[way]).replace("{n}", str(n))
    edits = of_file(name)
    if way in ("read if it exists", "try to open"):
        edits += [removed(name), added(name, f"{number(rng)}\n")]
    return Feature(f"read at import ({way})", code, edits, {name: f"{number(rng)}\n"})


def asked(n: int, rng: Random) -> Feature:
    way, name = rng.choice(list(ASKED)), f"@/tables/t{n}.txt"
    code = (HEAD + ASKED[way]).replace("{n}", str(n))

    def longer(world: World, _rng: Random) -> bool:
        path = world.path(name)
        if not path.is_file():
            return False
        path.write_text(path.read_text() + "1\n")
        return True

    def folder(world: World, _rng: Random) -> bool:
        if world.path(name).exists():
            return False
        world.path(name).mkdir(parents=True)
        return True

    edits = [
        removed(name),
        added(name, f"{number(rng)}\n"),
        Edit("a longer file", longer),
        Edit("a folder of that name", folder),
    ]
    files = {name: f"{number(rng)}\n"} if rng.random() < 0.5 else {}
    return Feature(f"asked at import ({way})", code, edits, {"@/tables/any.md": "", **files})


def listed(n: int, rng: Random) -> Feature:
    way, folder = rng.choice(list(LISTED)), f"@/listed{n}"
    code = (HEAD + LISTED[way]).replace("'tables'", f"'listed{n}'").replace("{n}", str(n))
    edits = [
        added(f"{folder}/two.txt", "", "a name in a folder that is listed"),
        added(f"{folder}/zero.txt", "", "a name in a folder that is listed"),
        renamed(f"{folder}/one.txt", f"{folder}/uno.txt"),
        removed(f"{folder}/two.txt"),
    ]
    if way in ("walk", "rglob"):
        edits.append(added(f"{folder}/inner/three.txt", "", "a name in a folder below one that is listed"))
    return Feature(f"listed at import ({way})", code, edits, {f"{folder}/one.txt": "", f"{folder}/inner/in.txt": ""})


def database(n: int, rng: Random) -> Feature:
    name = f"@/tables/d{n}.db"
    base = sqlite3.connect(":memory:")
    base.execute("create table t (x integer)")
    base.execute("insert into t values (?)", (number(rng),))
    base.commit()

    def fill(world: World, rng: Random) -> None:
        base = sqlite3.connect(world.path(name))
        base.execute("update t set x = ?", (number(rng),))
        base.commit()
        base.close()

    code = DATABASE.replace("{n}", str(n))
    return Feature("read at import (sqlite)", code, [Edit("another row of a database", fill)], {name: base.serialize()})


ENVIRONMENT = {
    "environ.get": "VALUE = os.environ.get('V{n}', '5')\n",
    "getenv": "VALUE = os.getenv('V{n}', '5')\n",
    "item": "VALUE = os.environ['V{n}'] if 'V{n}' in os.environ else '5'\n",
    "prefix": "VALUE = sorted(v for k, v in os.environ.items() if k.startswith('V{n}'))\n",
    "expandvars": "VALUE = os.path.expandvars('$V{n}')\n",
    "membership": "VALUE = 'V{n}' in os.environ\n",
    "bytes": "VALUE = os.environb.get(b'V{n}')\n",
    "copy": "VALUE = os.environ.copy().get('V{n}')\n",
    "setdefault": "VALUE = os.environ.setdefault('V{n}', '5')\n",
    "as it is built": "def initial():\n    return os.environ.get('V{n}', '5')\n",
    "in a component": "def value():\n    return os.environ.get('V{n}', '5')\n",
}


def environment(n: int, rng: Random) -> Feature:
    way = rng.choice(list(ENVIRONMENT))
    code = "import os\n\n" + ENVIRONMENT[way].replace("{n}", str(n))
    return Feature(f"environment ({way})", code, [varied(f"V{n}", "6", "7", None)])


def declared(n: int, rng: Random) -> Feature:
    """A file, a folder, or a link to either, that the data component declares."""
    way, name = rng.choice(["file", "folder", "linked file", "linked folder"]), f"data/d{n}"
    two = (f"elsewhere/d{n}_one", f"elsewhere/d{n}_two")
    within = "/a.txt" if "folder" in way else ""
    places = [f"@/{name}{within}"] if "linked" not in way else [f"{each}{within}" for each in two]
    files = {place: f"{number(rng)}\n" for place in places}
    links = {f"@/{name}": two[0]} if "linked" in way else {}
    edits = [edit for place in places for edit in of_file(place)]
    if links:
        edits.append(relinked(f"@/{name}", *two))
    if within:
        edits += [
            added(f"@/{name}/b.txt", f"{number(rng)}\n", "a file in a folder of data"),
            renamed(f"@/{name}/a.txt", f"@/{name}/c.txt"),
            added(f"@/{name}/.a.txt.swp", "x", "a hidden file in a folder of data"),
            added(f"@/{name}/a.txt~", "x", "an editor's file in a folder of data"),
            added(f"@/{name}/.DS_Store", "x", "a hidden file in a folder of data"),
        ]
    return Feature(f"declared data ({way})", "VALUE = 0\n", edits, files, links, data=(name,))


def declared_by_variable(n: int, rng: Random) -> Feature:
    """`files()` reads the environment to say which."""
    files = {f"@/data/e{n}_{which}": f"{number(rng)}\n" for which in ("one", "two")}
    edits = [varied(f"E{n}", "one", "two"), *(edit for name in files for edit in of_file(name))]
    data = (f"$E{n}:data/e{n}_",)
    return Feature("declared by the environment", "VALUE = 0\n", edits, files, variables={f"E{n}": "one"}, data=data)


NAMED_BY = {
    "glob": "[each.as_posix() for each in sorted(Path('data').glob('g{n}*.txt'))]",
    "listdir": "['data/' + each for each in sorted(os.listdir('data')) if each.startswith('g{n}')]",
    "exists": "[each for each in ('data/g{n}_b.txt', 'data/g{n}_c.txt') if Path(each).exists()]",
    "a list": "['data/' + each for each in Path('data/list{n}').read_text().split()]",
}


def declared_by_code(n: int, rng: Random) -> Feature:
    """`files()` looks around to say which."""
    way, name, more = rng.choice(list(NAMED_BY)), f"@/data/g{n}_b.txt", f"@/data/g{n}_c.txt"
    files = {name: f"{number(rng)}\n", f"@/data/list{n}": f"g{n}_b.txt\n"}
    edits = [*of_file(name), added(more, f"{number(rng)}\n"), removed(more)]
    if way == "a list":

        def another(world: World, _rng: Random) -> bool:
            world.write(f"@/data/list{n}", f"g{n}_c.txt\n")
            return world.path(more).exists()

        edits.append(Edit("another name in a list", another))
    return Feature(f"declared by code ({way})", "VALUE = 0\n", edits, files, named=NAMED_BY[way].replace("{n}", str(n)))


def configured(n: int, rng: Random) -> Feature:
    """A value of an included config, through a linked folder or none."""
    places, link = (f"elsewhere/c{n}_one", f"elsewhere/c{n}_two"), f"@/configs/linked{n}"
    files = {f"{place}/part.yaml": f"loss: {{more: {{c{n}: {number(rng)}}}}}\n" for place in places}
    edits = [relinked(link, *places), *(edit for name in files for edit in of_file(name))]
    return Feature(
        "linked folder of configs",
        "VALUE = 0\n",
        edits,
        files,
        {link: places[0]},
        defaults=(f"../linked{n}/part.yaml",),
    )


def expressed(n: int, rng: Random) -> Feature:
    way = rng.choice([f"${{env:int:C{n},3}}", f"a ${{env:C{n},3}}"])
    config = f'loss: {{more: {{x{n}: "{way}"}}}}\n'
    name = f"@/configs/experiments/inc{n}.yaml"
    return Feature(
        "variable in a config",
        "VALUE = 0\n",
        [varied(f"C{n}", "4", "5", None)],
        {name: config},
        defaults=(f"inc{n}.yaml",),
    )


READS = (
    read, asked, listed, database, environment, declared, declared_by_variable, declared_by_code, configured, expressed,
)  # fmt: skip
