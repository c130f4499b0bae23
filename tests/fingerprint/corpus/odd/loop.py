"""One whose registrations do not."""
from .plugin import Part
NAMES = [f"{n}" for n in "ab"]
def register(registry, /):
    for n in NAMES: registry.register_module(f"loop.{n}", Part)
    else: (put := registry.register_module)("last", lambda: Part)
