"""An exception in a forward names the node, its place in the config, and what it was given. Golden texts."""

from __future__ import annotations

import pytest

from otrainer.diagnostics.drawing import draw_error


def test_a_layer_is_named_by_its_number(failing):
    text = """
        model:
          sequential:
            layers:
              _merge_: replace
              _value_:
                - {_type_: nn.Linear, in_features: 4, out_features: 8}
                - {_type_: nn.Linear, in_features: 16, out_features: 3}
        """
    error = failing(text)
    assert draw_error(error) == (
        "layer failed ── configs/experiments/a.yaml:9:11\n"
        "  8 |         - {_type_: nn.Linear, in_features: 4, out_features: 8}\n"
        "  9 |         - {_type_: nn.Linear, in_features: 16, out_features: 3}\n"
        "    |           ^\n"
        "  Layer 1 (`nn.Linear`) raised RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x8 and 16x3)\n"
        "  input `layer_0`: float32 [8, 8]\n"
        "  Its `in_features` is 16, and dimension 1 of its input is 8: write `in_features: 8`, or give it 16."
    )
    assert type(error.__cause__) is RuntimeError


def test_in_a_block_its_own_path_is_named_too(failing):
    """Also where the layer comes from a template and its argument from elsewhere: the place to edit is the layer's."""
    text = """
        params: {width: 3}
        templates:
          block: {_type_: residual_block, in_channels: "${params.width}"}
        model:
          sequential:
            layers:
              _merge_: replace
              _value_:
                - {_type_: nn.Unflatten, dim: 1, unflattened_size: [1, 2, 2]}
                - {_template_: block}
        """
    assert draw_error(failing(text)) == (
        "layer failed ── configs/experiments/a.yaml:12:11\n"
        "  11 |         - {_type_: nn.Unflatten, dim: 1, unflattened_size: [1, 2, 2]}\n"
        "  12 |         - {_template_: block}\n"
        "     |           ^\n"
        "  Layer 1 (`residual_block`) raised RuntimeError: Given groups=1, weight of size [3, 3, 3, 3], expected "
        "input[8, 1, 2, 2] to have 3 channels, but got 1 channels instead\n"
        "  input `layer_0`: float32 [8, 1, 2, 2]\n"
        "  in its `body.0`: Conv2d(3, 3, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)\n"
        "  Its `in_channels` is 3, and dimension 1 of its input is 1: let the two agree."
    )


def test_in_a_block_the_inner_input_is_told_where_it_is_another(failing):
    text = """
        model:
          sequential: {layers: {_merge_: replace, _value_: [{_type_: odd}]}}
        """
    plugin = """
        from torch import nn


        def block():
            return nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.Tanh(), nn.Linear(5, 3)))


        def register(registry):
            registry.register_module("odd", block)
        """
    assert draw_error(failing(text, plugin)) == (
        "layer failed ── configs/experiments/a.yaml:5:53\n"
        "  4 | model:\n"
        "  5 |   sequential: {layers: {_merge_: replace, _value_: [{_type_: odd}]}}\n"
        "    |                                                     ^\n"
        "  Layer 0 (`odd`) raised RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x6 and 5x3)\n"
        "  input `x`: float32 [8, 4]\n"
        "  in its `1.1`: Linear(in_features=5, out_features=3, bias=True)\n"
        "  whose `input`: float32 [8, 6]\n"
        "  Its `in_features` is 5, and dimension 1 of its input is 6: let the two agree."
    )


GRAPH = """
    model:
      _merge_: replace
      _value_:
        graph:
          inputs: [x]
          modules:
            head: {_type_: nn.Linear, in_features: 5, out_features: 3}
          nodes:
            - {name: max, call: op:add, args: [$x, 1]}
            - {name: y, call: CALL, args: [$max, $x]}
          outputs: [y]
    """


def test_a_node_of_a_graph_is_named_with_its_module_and_where_it_is_called(failing):
    """Its input `max` has another name in the generated code."""
    assert draw_error(failing(GRAPH.replace("CALL, args: [$max, $x]", "module:head, args: [$max]"))) == (
        "layer failed ── configs/experiments/a.yaml:9:15\n"
        "  8 |       modules:\n"
        "  9 |         head: {_type_: nn.Linear, in_features: 5, out_features: 3}\n"
        "    |               ^\n"
        "  The node `y` (`module:head`) raised RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x4 and 5x3)\n"
        "  input `max`: float32 [8, 4]\n"
        "  called here: configs/experiments/a.yaml:12:11\n"
        "  Its `in_features` is 5, and dimension 1 of its input is 4: write `in_features: 4`, or give it 5."
    )


def test_an_op_of_a_plugin_is_drawn_at_the_plugins_line(failing):
    plugin = """
        def halves(x, y):
            return joined([x, y[:, :2]])


        def joined(parts):
            return sum(parts)


        def register(registry):
            registry.register_op("halves", halves)
        """
    assert draw_error(failing(GRAPH.replace("CALL", "op:halves"), plugin)) == (
        "op failed ── extensions/odd.py:6:12\n"
        "  5 | def joined(parts):\n"
        "  6 |     return sum(parts)\n"
        "    |            ^^^^^^^^^^\n"
        "  The node `y` (`op:halves`) raised RuntimeError: The size of tensor a (4) must match the size of tensor b "
        "(2) at non-singleton dimension 1\n"
        "  input `max`: float32 [8, 4]\n"
        "  input `x`: float32 [8, 4]\n"
        "  called in `halves`: extensions/odd.py:2:12\n"
        "  in the config: configs/experiments/a.yaml:13:11\n"
        "  Mend that line, or what the config gives it."
    )


MODULE = """
    import torch


    class Mixed(torch.nn.Module):
        def __init__(self, width, inner=None):
            super().__init__()
            self.inner = inner
            self.weight = torch.nn.Parameter(torch.zeros(width, 3))

        def forward(self, x):
            x = self.inner(x) if self.inner else x
            return x @ self.weight


    def register(registry):
        registry.register_module("mixed", Mixed)
    """
MIXED = """
    model:
      _merge_: replace
      _value_:
        graph:
          inputs: [x]
          modules:
            mixed:
              _type_: mixed
              width: 5
          steps:
            - {call: module:mixed, args: [$x], out: y}
          outputs: [y]
    """


def test_a_module_of_a_plugin_is_drawn_at_the_plugins_line_beside_its_node(failing):
    assert draw_error(failing(MIXED, MODULE)) == (
        "layer failed ── extensions/odd.py:12:16\n"
        "  11 |         x = self.inner(x) if self.inner else x\n"
        "  12 |         return x @ self.weight\n"
        "     |                ^^^^^^^^^^^^^^^\n"
        "  The node `step_0` (`module:mixed`) raised RuntimeError: mat1 and mat2 shapes cannot be multiplied "
        "(8x4 and 5x3)\n"
        "  input `x`: float32 [8, 4]\n"
        "  in the config: configs/experiments/a.yaml:11:11\n"
        "  called here: configs/experiments/a.yaml:14:11\n"
        "  Mend that line, or what the config gives it."
    )


def test_a_module_that_the_config_writes_within_another_is_drawn_at_itself(failing):
    inner = "width: 5\n              inner: {_type_: nn.Linear, in_features: 9, out_features: 5}"
    assert draw_error(failing(MIXED.replace("width: 5", inner), MODULE)) == (
        "layer failed ── configs/experiments/a.yaml:13:18\n"
        "  12 |           width: 5\n"
        "  13 |           inner: {_type_: nn.Linear, in_features: 9, out_features: 5}\n"
        "     |                  ^\n"
        "  The node `step_0` (`module:mixed`) raised RuntimeError: mat1 and mat2 shapes cannot be multiplied "
        "(8x4 and 9x5)\n"
        "  input `x`: float32 [8, 4]\n"
        "  in its `inner`: Linear(in_features=9, out_features=5, bias=True)\n"
        "  called in `forward`: extensions/odd.py:11:13\n"
        "  called here: configs/experiments/a.yaml:15:11\n"
        "  Its `in_features` is 9, and dimension 1 of its input is 4: write `in_features: 4`, or give it 9."
    )


LAYERS = """
    model:
      sequential:
        layers:
          _merge_: replace
          _value_: [FIRST, {_type_: nn.Linear, in_features: 8, out_features: 3}]
    REST
    """


def layers(first: str, rest: str = "") -> str:
    return LAYERS.replace("FIRST", first).replace("REST", rest)


def message(error) -> list[str]:
    """What is said beneath the drawn place."""
    return draw_error(error).splitlines()[4:]


def test_a_lazy_width_is_inferred_by_a_forward_that_tells_as_much(failing):
    error = failing(layers("{_type_: mlp, dims: [null, 6]}"))
    assert str(error.location) == "configs/experiments/a.yaml:7:49"
    assert message(error) == [
        "  Layer 1 (`nn.Linear`) raised RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x6 and 8x3)",
        "  input `layer_0`: float32 [8, 6]",
        "  Its `in_features` is 8, and dimension 1 of its input is 6: write `in_features: 6`, or give it 8.",
    ]


def test_validation_tells_as_much(failing):
    plugin = """
        from torch import nn


        class Odd(nn.Module):
            def forward(self, x):
                return x if self.training else x[:, 0]


        def register(registry):
            registry.register_module("odd", Odd)
        """
    text = layers("{_type_: odd}").replace("in_features: 8", "in_features: 4")
    assert message(failing(text, plugin)) == [
        "  Layer 1 (`nn.Linear`) raised RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x8 and 4x3)",
        "  in validation, tried before the first step, batch 0 (counted from 0)",
        "  input `layer_0`: float32 [8]",
        "  Its `in_features` is 4, and dimension 0 of its input is 8: write `in_features: 8`, or give it 4.",
    ]


def test_compiled_the_model_is_called_once_more_without_the_compiler(failing, caplog, capfd):
    """The compiler's exception knows the line at most; it stays the cause."""
    error = failing(layers("{_type_: mlp, dims: [4, 6]}", "run: {compile: {backend: eager}}"))
    assert str(error.location) == "configs/experiments/a.yaml:7:46"
    assert message(error) == [
        "  Layer 1 (`nn.Linear`) raised RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x6 and 8x3)",
        "  input `layer_0`: float32 [8, 6]",
        "  Its `in_features` is 8, and dimension 1 of its input is 6: write `in_features: 6`, or give it 8.",
    ]
    assert type(error.__cause__).__name__ == "TorchRuntimeError"
    assert "Traceback" not in capfd.readouterr().err + caplog.text


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("{_type_: nn.Embedding, num_embeddings: 2, embedding_dim: 8}", "float32"),
        (
            "{_type_: nn.Conv1d, in_channels: 3, out_channels: 8, kernel_size: 1}",
            "`in_channels` is 3, and dimension 0 of",
        ),
        (
            "{_type_: nn.BatchNorm1d, num_features: 5}",
            "Its `num_features` is 5, and dimension 1 of its input is 4: write `num_features: 4`, or give it 5.",
        ),
        (
            "{_type_: nn.GRU, input_size: 3, hidden_size: 8}",
            "Its `input_size` is 3, and dimension 1 of its input is 4: write `input_size: 4`, or give it 3.",
        ),
        ("{_type_: nn.Unflatten, dim: 1, unflattened_size: [3, 3]}", "input `x`: float32 [8, 4]"),
    ],
)
def test_what_a_layer_expects_is_told_in_its_own_words(failing, first, words):
    assert words in draw_error(failing(layers(first)))


def test_whole_numbers_are_told_with_their_range(failing):
    plugin = """
        from torch import nn


        class Tokens(nn.Module):
            def forward(self, x):
                return (x * 0 + 7).long()


        def register(registry):
            registry.register_module("tokens", Tokens)
        """
    text = layers("{_type_: tokens}, {_type_: nn.Embedding, num_embeddings: 5, embedding_dim: 8}")
    advice = "write a greater one, or give it numbers from 0 to 4"
    assert message(failing(text, plugin)) == [
        "  Layer 1 (`nn.Embedding`) raised IndexError: index out of range in self",
        "  input `layer_0`: int64 [8, 4]",
        f"  Its `num_embeddings` is 5, and its input goes from 7 to 7: {advice}.",
    ]


def test_a_call_that_does_not_fit_the_models_inputs_is_told(failing):
    plugin = """
        from otrainer.components.io import ArgsKwargs


        class Split:
            def split(self, batch, *, stage):
                return ArgsKwargs(args=(batch["x"],), kwargs={"z": batch["y"]}), batch, {}


        def register(registry):
            registry.register_module("io.odd", Split)
        """
    assert draw_error(failing("io: {_merge_: replace, _value_: {_type_: io.odd}}", plugin)) == (
        "model failed ── configs/base/small.yaml:4:8\n"
        "  3 | data: {batch_size: 8, steps_per_epoch: 2, val_steps_per_epoch: 1, x_shape: [4], y_shape: [3]}\n"
        "  4 | model: {sequential: {layers: [{_type_: nn.Linear, in_features: 4, out_features: 3}]}}\n"
        "    |        ^\n"
        "  included by configs/experiments/a.yaml:1:12\n"
        "  The model raised TypeError: forward() got an unexpected keyword argument 'z'\n"
        "  its inputs: x\n"
        "  what it was given: float32 [8, 4], z: float32 [8, 3]\n"
        "  the inputs come from: configs/experiments/a.yaml:4:33\n"
        "  Let `io` give each of the model's inputs once, and nothing else."
    )


def test_what_only_the_compiler_cannot_do_is_told_at_run_compile(failing):
    plugin = """
        from torch import nn


        class Odd(nn.Module):
            def forward(self, x):
                return x + len(open("/dev/null").read())


        def register(registry):
            registry.register_module("odd", Odd)
        """
    error = failing(layers("{_type_: odd}", "run: {compile: {backend: eager, fullgraph: true}}"), plugin)
    drawn = draw_error(error).splitlines()
    assert drawn[0] == "could not compile the model ── configs/experiments/a.yaml:9:16"
    assert drawn[4].startswith("  torch.compile raised Unsupported: ")
    assert "from user code" not in draw_error(error)
    assert drawn[-3:] == [
        "  called in `forward`: extensions/odd.py:6:24",
        "  in the node `layer_0`: configs/experiments/a.yaml:8:17",
        "  The model runs uncompiled: `run.compile: false` trains it.",
    ]


def test_a_compiler_that_is_not_there_is_told_at_run_compile(failing):
    error = failing("run: {compile: {backend: nowhere}}")
    assert str(error.location) == "configs/experiments/a.yaml:3:16"
    assert error.findings[0].message.startswith("torch.compile raised InvalidBackend: Invalid backend: 'nowhere'")
