"""What a statement may do when its module is imported, beyond naming values: anything but what is known to be inert.

An import that fails is always noticed, since whoever makes the manifest imports: only effects that last matter here.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet

from otrainer.fingerprint.known_names import BUILTIN_NAMES, PURE_CALLS, PURE_DECORATORS
from otrainer.fingerprint.scopes import arguments, bound_in, defaults

# Statements that only bind names or steer.
INERT = frozenset(("Pass", "Import", "ImportFrom", "Global", "Nonlocal", "Continue", "Break", "TypeAlias"))
# Pure calls that call what they are given to order by.
ORDERING_CALLS = frozenset(("builtins.max", "builtins.min", "builtins.sorted"))
ACTING_ENUM_METHODS = frozenset(("__init__", "__new__", "_generate_next_value_", "__init_subclass__", "__set_name__"))
# Expressions that are plain data where all in them are.
COMPOSED = (
    *(ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Starred, ast.Subscript, ast.Slice),
    *(ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.JoinedStr, ast.FormattedValue),
)

# From the dotted chain of an expression to the full name of what it stands for in a known package, None for all else.
External = Callable[[str], str | None]


def chain_of(node: ast.expr) -> str | None:
    """Return `a.b.c` for a chain of attributes of a name; None for any other expression."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


class Effects:
    """Judges the statements of one module in their order.

    `plain` are the names known to hold plain data, and `fixed` those of them whose data nobody can change; `spoiled`
    are bound to something else at any place. With `annotated`, annotations are evaluated. `suspects` are chains that
    do something where they stand for objects of the user's own classes, which only other modules may tell.
    """

    def __init__(
        self,
        external: External,
        modules: frozenset[str] = frozenset(),
        *,
        annotated: bool = False,
        spoiled: Iterable[str] = (),
    ) -> None:
        self.external = external
        self.modules = modules  # names that `import` binds
        self.annotated = annotated
        self.plain: set[str] = set()
        self.fixed: set[str] = set()
        self.spoiled = set(spoiled)
        self.suspects: dict[str, None] = {}

    def within(self, hidden: AbstractSet[str] = frozenset()) -> Effects:
        """Return the same for a scope inside, which leaves the names out here as they are and hides some by its own."""

        def external(chain: str) -> str | None:
            return None if chain.partition(".")[0] in hidden else self.external(chain)

        inner = Effects(external, self.modules - hidden, annotated=self.annotated, spoiled=self.spoiled)
        inner.plain, inner.fixed = self.plain - hidden, self.fixed - hidden
        inner.suspects = self.suspects
        return inner

    def acts(self, node: ast.stmt) -> bool:
        """Return whether running `node` at import may do more than bind names; a class's bases are judged elsewhere."""
        kind = type(node).__name__
        judge = getattr(self, f"acts_{kind}", None)
        acting = kind not in INERT if judge is None else bool(judge(node))
        if acting:
            self.plain &= self.fixed  # it may have put anything into a list
        self.spoil(bound_otherwise(node))
        return acting

    def spoil(self, names: set[str]) -> None:
        """Forget names that stand for anything from here on, or for one thing or another."""
        self.spoiled |= names
        known = set() if "*" in names else self.plain - names
        self.plain, self.fixed = known, self.fixed & known

    def any_acts(self, body: Iterable[ast.stmt]) -> bool:
        return any([self.acts(node) for node in body])  # noqa: C419 - each is asked, since it may make names plain

    def acts_Expr(self, node: ast.Expr) -> bool:
        return self.value_acts(node.value)

    def acts_Assign(self, node: ast.Assign) -> bool:
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        self.note(names, node.value)
        unpacked = isinstance(node.value, ast.Tuple | ast.List) and all(map(is_names, node.targets))
        return (len(names) < len(node.targets) and not unpacked) or self.value_acts(node.value)

    def acts_AnnAssign(self, node: ast.AnnAssign) -> bool:
        if not isinstance(node.target, ast.Name) or self.annotations_act(node.annotation):
            return True
        if node.value is None:
            return False
        self.note([node.target.id], node.value)
        return self.value_acts(node.value)

    def annotations_act(self, *annotations: ast.expr | None) -> bool:
        return self.annotated and any(self.value_acts(each) for each in annotations if each is not None)

    def note(self, names: list[str], value: ast.expr) -> None:
        """Remember which of `names` hold plain data; one that is bound to anything else never counts again."""
        if not self.is_plain(value):
            self.spoil(set(names))
            return
        known, fixed = set(names) - self.spoiled, self.is_fixed(value)
        self.plain |= known
        self.fixed = self.fixed | known if fixed else self.fixed - known

    def is_fixed(self, value: ast.expr) -> bool:
        """Return whether plain data is made of nothing that can be changed in place."""
        if isinstance(value, ast.Name):
            return value.id in self.fixed
        is_fixed_itself = isinstance(value, ast.Constant | ast.JoinedStr | ast.UnaryOp)
        return is_fixed_itself or (
            isinstance(value, ast.Tuple | ast.BinOp) and all(map(self.is_fixed, parts_of(value)))
        )

    def acts_Assert(self, node: ast.Assert) -> bool:
        return self.value_acts(node.test)

    def acts_Raise(self, node: ast.Raise) -> bool:
        return node.exc is not None and self.value_acts(node.exc)

    def acts_If(self, node: ast.If) -> bool:
        return self.any_acts([*node.body, *node.orelse]) or self.value_acts(node.test)

    def acts_Try(self, node: ast.Try) -> bool:
        handled = [inner for handler in node.handlers for inner in handler.body]
        return self.any_acts([*node.body, *handled, *node.orelse, *node.finalbody])

    def acts_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
        return (
            self.is_decorated(node)
            or any(map(self.value_acts, defaults(node.args)))
            or self.annotations_act(node.returns, *(each.annotation for each in arguments(node.args)))
        )

    acts_AsyncFunctionDef = acts_FunctionDef

    def acts_ClassDef(self, node: ast.ClassDef) -> bool:
        hidden = bound_in(node.body)
        acting = self.within(hidden).any_acts(node.body)
        for each in node.body:
            if isinstance(each, ast.Assign | ast.AnnAssign) and each.value is not None:
                self.suspect(each.value, hidden)  # it may have a `__set_name__`
        return any([self.is_decorated(node), *map(self.value_acts, node.bases), acting])

    def suspect(self, node: ast.expr, hidden: AbstractSet[str] = frozenset()) -> None:
        """Note what does something if it is an object of a class that does."""
        chain = chain_of(node)
        if chain is None or chain.partition(".")[0] in hidden:
            return
        if not self.is_plain(node) and self.external(chain) is None:
            self.suspects[chain] = None

    def is_decorated(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
        """Return whether a decorator may do anything with what it decorates."""
        accessors = [f"{node.name}.{kind}" for kind in ("setter", "getter", "deleter")]
        return not all(chain_of(each) in accessors or self.is_pure_decorator(each) for each in node.decorator_list)

    def is_pure_decorator(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Call):
            return self.is_pure_decorator(node.func) and not any(map(self.value_acts, given_to(node)))
        chain = chain_of(node)
        return chain is not None and self.external(chain) in PURE_DECORATORS

    def value_acts(self, node: ast.expr) -> bool:
        """Return whether evaluating an expression may have an effect."""
        if isinstance(node, ast.Constant | ast.Name):
            return False
        if isinstance(node, ast.Lambda):
            return any(map(self.value_acts, defaults(node.args)))
        if isinstance(node, ast.Attribute):
            chain = chain_of(node)
            self.suspect(node)
            return chain is None or (self.external(chain) is None and chain.partition(".")[0] not in self.modules)
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            return any(map(self.value_acts, node.elts))
        if isinstance(node, ast.Dict):
            unpacked = (value for key, value in zip(node.keys, node.values, strict=True) if key is None)
            return not all(map(self.is_plain, unpacked)) or any(map(self.value_acts, parts_of(node)))
        if isinstance(node, ast.Call):
            return not self.is_pure_call(node)
        if isinstance(node, ast.Subscript):
            described = self.is_external(node.value) and not self.value_acts(node.slice)
            return not described and not self.is_plain(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            self.suspect(node.left)
            self.suspect(node.right)
            return self.value_acts(node.left) or self.value_acts(node.right)  # `int | None`, and sets
        return not self.is_plain(node)

    def is_pure_call(self, node: ast.Call) -> bool:
        chain = chain_of(node.func)
        called = None if chain is None else self.external(chain)
        if called not in PURE_CALLS:
            return False
        given = given_to(node)
        if called in ("functools.partial", "dataclasses.field", "typing.cast"):
            return not any(map(self.value_acts, given))
        if called in ORDERING_CALLS and any(isinstance(each, ast.Lambda) for each in given):
            return False
        return all(self.is_plain(each) or self.is_described(each) for each in given)

    def is_described(self, node: ast.expr) -> bool:
        """Return whether `node` is a lambda or something of another package: making a value of it does not call it."""
        return not self.value_acts(node) if isinstance(node, ast.Lambda) else self.is_external(node)

    def is_external(self, node: ast.expr) -> bool:
        chain = chain_of(node)
        return chain is not None and self.external(chain) is not None

    def is_plain(self, node: ast.expr) -> bool:
        """Return whether an expression is plain data of literals, and of names that hold such."""
        if isinstance(node, ast.Constant):
            return True
        if isinstance(node, ast.Name):
            return node.id in self.plain
        if isinstance(node, ast.Call):
            return self.is_pure_call(node) and all(map(self.is_plain, node.args))
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp):
            return self.is_plain_comprehension(node)
        return isinstance(node, COMPOSED) and all(map(self.is_plain, parts_of(node)))

    def is_plain_comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp) -> bool:
        inner = self.within()
        for each in node.generators:
            if not inner.is_plain(each.iter) or not is_names(each.target):
                return False
            inner.plain |= {name.id for name in ast.walk(each.target) if isinstance(name, ast.Name)}
            if not all(map(inner.is_plain, each.ifs)):
                return False
        made = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        return all(map(inner.is_plain, made))


def bound_otherwise(node: ast.stmt) -> set[str]:
    """Return the names that a statement binds in other ways than by the assignments that are judged."""
    if isinstance(node, ast.If):
        return bound_in([ast.Expr(node.test)])
    if isinstance(node, ast.Try):
        return {handler.name for handler in node.handlers if handler.name is not None}
    judged: list[ast.expr] = []
    if isinstance(node, ast.Assign | ast.AnnAssign):
        judged = node.targets if isinstance(node, ast.Assign) else [node.target]
    return bound_in([node]) - {target.id for target in judged if isinstance(target, ast.Name)}


def parts_of(node: ast.AST) -> list[ast.expr]:
    """Return the expressions right inside another one."""
    return [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]


def given_to(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def is_names(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return all(map(is_names, target.elts))
    return isinstance(target, ast.Name)


def builtin_name(name: str) -> str | None:
    """Return `builtins.len` for `len`."""
    return f"builtins.{name}" if name in BUILTIN_NAMES else None
