"""`build_model` from files and dicts, and the door for plugins."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from otrainer.config import Settings, resolve_config
from otrainer.deps import model_constructor as door
from otrainer.diagnostics.drawing import draw_error
from otrainer.errors import ConfigError
from otrainer.model import build_model, check_model
from otrainer.registry import build_registry

CONFIG = """\
schema_version: 1
settings: {allowed_import_prefixes: [my_ext.]}
model:
  sequential:
    layers:
      - {_type_: mlp, dims: [3, 8, 2], dropout: 0.1}
"""
PLUGIN = "from torch import nn\ndef register(registry):\n    registry.register_module('my.block', nn.Linear)\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_ext").mkdir()
    (tmp_path / "my_ext" / "blocks.py").write_text(PLUGIN)
    (tmp_path / "exp.yaml").write_text(CONFIG)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_ext"]:
        del sys.modules[name]


def test_a_path_a_dict_and_a_resolved_config_give_the_same_weights(project):
    def weights(source):
        torch.manual_seed(1)
        return build_model(source).state_dict()

    config = resolve_config("exp.yaml")
    sources = ["exp.yaml", project / "exp.yaml", config.data, config]
    first, *others = map(weights, sources)
    assert all(torch.equal(first[key], other[key]) for other in others for key in first)


def test_imports_are_loaded_into_the_registry_once(project):
    (project / "exp.yaml").write_text(
        CONFIG.replace("{_type_: mlp, dims: [3, 8, 2], dropout: 0.1}", "{_type_: my.block, _args_: [3, 2]}")
        + "imports: [my_ext.blocks]\n"
    )
    registry = build_registry()
    for _ in range(2):
        assert build_model("exp.yaml", registry)(torch.ones(1, 3)).shape == (1, 2)
    assert "my.block" in registry.list_modules()


def test_every_mistake_in_the_model_is_drawn_with_its_line(project):
    (project / "exp.yaml").write_text(
        "schema_version: 1\nmodel:\n  sequential:\n    inputs: [x]\n    layers:\n"
        "      - _type_: mlp\n        dims: [3, 2]\n        dropuot: 0.1\n      - _type_: nn.Relu\n"
    )
    with pytest.raises(ConfigError) as caught:
        build_model("exp.yaml")
    assert draw_error(caught.value) == (
        "unknown argument ── exp.yaml:8:9\n"
        "  7 |         dims: [3, 2]\n"
        "  8 |         dropuot: 0.1\n"
        "    |         ^^^^^^^\n"
        "  `mlp` has no argument `dropuot`. Did you mean `dropout`?\n"
        "  It takes dims, activation, dropout, bias, final_activation.\n"
        "\n"
        "unknown component ── exp.yaml:9:17\n"
        "  8 |         dropuot: 0.1\n"
        "  9 |       - _type_: nn.Relu\n"
        "    |                 ^^^^^^^\n"
        "  No component is registered as `nn.Relu`. Did you mean `nn.ReLU` or `nn.RReLU` or `nn.ReLU6`?"
    )


def test_a_constructor_that_fails_is_drawn_at_the_argument_that_it_names(project):
    (project / "exp.yaml").write_text(CONFIG.replace("dims: [3, 8, 2]", "dims: [3, -8, 2]"))
    with pytest.raises(ConfigError) as caught:
        build_model("exp.yaml")
    assert draw_error(caught.value) == (
        "could not build ── exp.yaml:6:29\n"
        "  5 |     layers:\n"
        "  6 |       - {_type_: mlp, dims: [3, -8, 2], dropout: 0.1}\n"
        "    |                             ^\n"
        "  `mlp` raised ValueError: `dims[1]` is a positive whole number, not -8\n"
        "  Change the arguments of `mlp` in the config, or mend its code if they are right."
    )
    assert isinstance(caught.value.__cause__, ValueError)


def test_what_is_no_module_is_told(project):
    registry = build_registry()
    registry.register_module("number", lambda: 3)
    config = {"schema_version": 1, "model": {"sequential": {"layers": [{"_type_": "number"}]}}}
    with pytest.raises(ConfigError, match="`number` builds a value of type `int`, which is no module"):
        build_model(config, registry)


def test_checking_a_model_builds_nothing():
    registry = build_registry()
    registry.register_module("bomb", lambda: 1 / 0)
    assert check_model({"sequential": {"layers": [{"_type_": "bomb"}]}}, registry=registry, settings=Settings()) == []


def test_secrets_do_not_stay_in_the_model(project, monkeypatch):
    monkeypatch.setenv("NAME", "hunter2")
    registry = build_registry()
    registry.register_module("named", lambda name: torch.nn.Linear(len(name), 1))
    config = {"schema_version": 1, "model": {"sequential": {"layers": [{"_type_": "named", "name": "${secret:NAME}"}]}}}
    model = build_model(config, registry)
    assert model.layers[0].in_features == 7


DIGEST = """
import hashlib, torch
from otrainer.model import build_model
torch.manual_seed(0)
model = build_model("exp.yaml")
digest = hashlib.sha256(model.code.encode())
for name, value in model.state_dict().items():
    digest.update(name.encode() + value.numpy().tobytes())
digest = digest.hexdigest()
"""


def test_code_and_weights_do_not_depend_on_the_hash_seed(project):
    here: dict[str, str] = {}
    exec(DIGEST, here)  # noqa: S102 - the same text as in the other process
    env = {**os.environ, "PYTHONHASHSEED": "1"}
    there = subprocess.run([sys.executable, "-c", f"{DIGEST}print(digest)"], env=env, capture_output=True, text=True)
    assert there.stdout.strip() == here["digest"], there.stderr


def test_the_door_for_plugins_brings_torch_only_with_build_model():
    names = "Registry, ConfigError, SourceMap, Settings, resolve_config, instantiate_value, validate_kwargs"
    code = f"import sys; from otrainer.deps.model_constructor import {names}; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"
    assert door.build_model is build_model
    assert not hasattr(door, "nothing")
