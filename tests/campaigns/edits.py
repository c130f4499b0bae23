"""Random edits of a package: each changes one piece, or puts one in, and says of which kind it was."""

from __future__ import annotations

import ast
import copy
import re

from packages import Package, Piece

# So that among 1,000 edits each construct of note is touched often enough.
WEIGHTS = {"register in a loop": 12, "re-export": 5, "relative import": 0.6, "import": 0.6} | dict.fromkeys(
    ("function", "class", "class attribute", "alias", "closure", "partial", "conditional import", "unused side effect"),
    2,
)
NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")
OPERATOR = re.compile(r" ([-+*]) ")


def edit(rng, package: Package) -> tuple[Package, str, str] | None:
    """A changed copy, the kind of edit and the construct that it touched; None where it changed nothing."""
    changed = copy.deepcopy(package)
    kind = rng.choice(sorted(KINDS))
    module = rng.choice(sorted(changed.modules))
    pieces = changed.modules[module]
    index = rng.choices(range(len(pieces)), [WEIGHTS.get(piece.construct, 1) for piece in pieces])[0]
    construct = KINDS[kind](rng, changed, pieces, index)
    return None if construct is None or changed.texts() == package.texts() else (changed, kind, construct)


def replaced(rng, pieces, index, pattern, make):
    piece = pieces[index]
    found = list(pattern.finditer(piece.text))
    if not found:
        return None
    match = rng.choice(found)
    piece.text = piece.text[: match.start()] + make(match) + piece.text[match.end() :]
    return piece.construct


def constant(rng, _package, pieces, index):
    return replaced(rng, pieces, index, NUMBER, lambda match: str(int(match.group()) + rng.randint(1, 5)))


def operator(rng, _package, pieces, index):
    other = {"+": "-", "-": "+", "*": "+"}
    return replaced(rng, pieces, index, OPERATOR, lambda match: f" {other[match.group(1)]} ")


def drop_statement(rng, _package, pieces, index):
    """Take a statement out of a body that has several."""
    piece = pieces[index]
    tree = ast.parse(piece.text)
    bodies = [
        body for node in ast.walk(tree) if isinstance(body := getattr(node, "body", None), list) and len(body) > 1
    ]
    if not bodies:
        return None
    body = rng.choice(bodies)
    body.remove(rng.choice(body))
    piece.text = ast.unparse(tree) + "\n"
    return piece.construct


def drop_decorator(rng, _package, pieces, index):
    piece = pieces[index]
    tree = ast.parse(piece.text)
    decorated = [node for node in ast.walk(tree) if getattr(node, "decorator_list", None)]
    if not decorated:
        return None
    rng.choice(decorated).decorator_list.pop()
    piece.text = ast.unparse(tree) + "\n"
    return piece.construct


def swap_pieces(_rng, _package, pieces, index):
    if index + 1 >= len(pieces):
        return None
    pieces[index], pieces[index + 1] = pieces[index + 1], pieces[index]
    return pieces[index].construct


def swap_statements(rng, _package, pieces, index):
    piece = pieces[index]
    tree = ast.parse(piece.text)
    if len(tree.body) < 2:
        return None
    at = rng.randrange(len(tree.body) - 1)
    tree.body[at], tree.body[at + 1] = tree.body[at + 1], tree.body[at]
    piece.text = ast.unparse(tree) + "\n"
    return piece.construct


def drop_piece(_rng, _package, pieces, index):
    return pieces.pop(index).construct if len(pieces) > 1 else None


def layout(_rng, _package, pieces, index):
    pieces[index].text = f"# a comment\n{pieces[index].text}\n\n"
    return pieces[index].construct


def docstring(rng, _package, pieces, index):
    piece = pieces[index]
    tree = ast.parse(piece.text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    if not functions:
        return None
    body = rng.choice(functions).body
    body.insert(0, ast.Expr(ast.Constant(f"Says {rng.randrange(1000)}.")))
    piece.text = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
    return piece.construct


def names_of(pieces):
    """The names that the pieces of a module bind at its top."""
    found = []
    for piece in pieces:
        for node in ast.parse(piece.text).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.append(node.name)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found.append(node.targets[0].id)
    return found


def insert(rng, package, pieces, index):
    """A new statement: a name bound anew, a patch of another module, something unused, or an effect."""
    module = rng.choice(["base", "helper", "extra"])
    there, here = names_of(package.modules[module]), names_of(pieces)
    value = rng.randint(10, 99)
    texts = [f"FRESH = {value}\n", f"def fresh(x):\n    return {value}\n", f"print(end='')\nFRESH = [{value}]\n"]
    if here:
        name = rng.choice(here)
        texts += [
            f"{name} = lambda x={value}: {value}\n",
            f"def {name}(x=0):\n    return {value}\n",
            f"if {value} > 50:\n    {name} = {value}\n",
        ]
        texts += [f"for {name} in [{value}]:\n    pass\n", f"del {name}\n"]
    if there:
        name = rng.choice(there)
        texts += [f"import {package.name}.{module} as patched\npatched.{name} = lambda x: {value}\n"] * 2
        texts += [f"from {package.name}.{module} import {name}\n"]
    pieces.insert(index, Piece("patch" if "patched" in (text := rng.choice(texts)) else "inserted", text))
    return pieces[index].construct


def rename(rng, package, pieces, _index):
    """A name of one module under another one everywhere, or only where it is bound."""
    names = names_of(pieces)
    if not names:
        return None
    name = rng.choice(names)
    where = [piece for each in package.modules.values() for piece in each] if rng.random() < 0.7 else pieces[:1]
    for piece in where:
        piece.text = re.sub(rf"\b{name}\b", f"{name}_new", piece.text)
    return "renamed"


def alias(rng, package, pieces, index):
    """Another name behind an imported one."""
    piece = pieces[index]
    match = re.fullmatch(r"from (\.+)([\w.]+) import (\w+) as (\w+)\n", piece.text)
    module = match and match.group(2).replace(".", "/")
    if not match or module not in package.modules:
        return None
    name = rng.choice(names_of(package.modules[module]) or [match.group(3)])
    piece.text = f"from {match.group(1)}{match.group(2)} import {name} as {match.group(4)}\n"
    return piece.construct


def base(rng, _package, pieces, index):
    return replaced(
        rng,
        pieces,
        index,
        re.compile(r"(?<=class )(\w+)\((\w+)\)"),
        lambda match: f"{match.group(1)}({match.group(2)}, object)",
    )


KINDS = {
    "constant": constant,
    "constant again": constant,
    "constant once more": constant,
    "operator": operator,
    "operator again": operator,
    "constant at last": constant,
    "statement dropped": drop_statement,
    "decorator dropped": drop_decorator,
    "pieces swapped": swap_pieces,
    "statements swapped": swap_statements,
    "piece dropped": drop_piece,
    "layout": layout,
    "docstring": docstring,
    "inserted": insert,
    "renamed": rename,
    "alias": alias,
    "base": base,
}
