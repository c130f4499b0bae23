"""What is said of a key that nothing is registered as: those that may have been meant, and where keys come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType

from otrainer.errors import nearest


def near_keys(name: str, keys: Iterable[str]) -> tuple[str, ...]:
    """Return the keys most like `name`, judged by what follows their families: of one family, all have much alike."""
    family, dot, own = name.rpartition(".")
    known = sorted(keys)
    near = nearest(name, known)
    members = {key.removeprefix(f"{family}."): key for key in known if key.rpartition(".")[0] == family}
    if not dot or not members:
        return near
    alike = [members[each] for each in nearest(own, members)]
    parts = [key for each, key in members.items() if len(own) > 2 and own.lower() in each.lower()]
    others = [key for key in near if nearest(own, [key.rpartition(".")[2]])]
    return tuple(dict.fromkeys([*alike, *parts, *others]))[:3]


def where_keys_come_from(plugins: Mapping[str, ModuleType]) -> str:
    """Return the next step where a plugin's key is missing: a module may be listed, and yet register nothing."""
    silent = [f"`{name}`" for name, module in plugins.items() if not hasattr(module, "register")]
    if silent:
        return f"{', '.join(silent)}, listed under `imports`, has no `register(registry)`: it registers nothing."
    return "Keys of a plugin exist once its module is listed under `imports`."
