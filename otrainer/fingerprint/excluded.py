"""Say which parts of otrainer never decide what is trained, so that a change in them retrains nobody."""

from __future__ import annotations

from functools import cache

# Rooms and modules, each with all that is in it; where several match, the longest name does.
EXCLUDED = {
    "otrainer.errors": "what is said where something is wrong; then nothing is trained",
    "otrainer.storage": "how files are written, found and locked; what stands in them counts itself",
    "otrainer.diagnostics": "how mistakes are shown, and secrets are not",
    "otrainer.fingerprint": "how code is told apart",
    "otrainer.config": "how YAML becomes the config, which counts itself",
    "otrainer.registry": "which keys there are, and what is refused of them; what a key stands for counts itself",
    "otrainer.registry.build.signature": "what is refused before anything is called",
    "otrainer.registry.build.targets": "what is refused of a `_target_`, which counts itself",
    "otrainer.engine.checkpoint.form": "what is refused of a checkpoint before any part takes it",
    "otrainer.engine.checkpoint.forms": "what the parts of a checkpoint have to be made of",
    "otrainer.engine.schedule_length": "what is told or refused of a schedule before it begins",
    "otrainer.engine.stage_notes": "what is said of a failure; then nothing more is trained",
    "otrainer.stages": "when something is trained, and what is judged, written down and told besides",
    "otrainer.commands": "what people ask for",
    "otrainer.tasks": "when a stage runs",
}
# What decides all the same, in a room that is excluded.
COUNTED = {
    "otrainer.config.secrets": "finds what is replaced by a secret in the arguments of a component",
    "otrainer.diagnostics.redaction.values": "gives back the secrets in the state of a checkpoint",
    "otrainer.registry.core": "gives the factory of a key to whoever builds with it",
    "otrainer.registry.build": "makes components of specs",
    "otrainer.stages.fit.compose": "puts a run together",
}


@cache
def is_excluded(module: str) -> bool:
    """Return whether a module of otrainer's own decides nothing of what is trained."""
    while module and module not in COUNTED and module not in EXCLUDED:
        module = module.rpartition(".")[0]
    return module in EXCLUDED
