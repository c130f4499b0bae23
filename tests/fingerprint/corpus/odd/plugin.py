"""A plugin whose registrations stand straight down."""
from .functions import decorated
from . import scopes
class Part(scopes.Scoped): """Doc."""
def register(registry):
    """Register."""
    from .patterns import pick
    registry.register_module("a" "b", Part)
    registry.register_module("part.f", decorated, tags=("x", f"{1!r}"), doc="d" 'e')
    registry.register_module("part.lambda", lambda a=1, /, *, b: (a, b, pick))
    registry.register_module(name="part.named", target=scopes.Scoped.Inner)
    registry.register_op("op", scopes.uses_builtins)
    return None
