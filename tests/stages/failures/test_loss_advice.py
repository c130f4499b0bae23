"""A loss that does not fit names both sides with their shapes, and what it expects. Golden texts."""

from __future__ import annotations

from otrainer.diagnostics.drawing import draw_error

MEND = "  Mend that line, or what the config gives it."


def loss(fn: str, target: str, model: str = "x") -> tuple[str, str]:
    """An experiment whose prediction is [8, 3], or what `model` makes of it, and a plugin with its target."""
    text = f"""
        loss: {{fn: {{_merge_: replace, _value_: {{_type_: {fn}}}}}}}
        io: {{_merge_: replace, _value_: {{_type_: io.odd}}}}
        model: {{sequential: {{layers: {{_merge_: append, _value_: [{{_type_: odd}}]}}}}}}
        """
    plugin = f"""
        import torch

        from otrainer.components.io import ArgsKwargs


        class Odd(torch.nn.Module):
            def forward(self, x):
                return {model}


        class Split:
            def split(self, batch, *, stage):
                return ArgsKwargs(args=(batch["x"],)), {{"y": {target}}}, {{}}


        def register(registry):
            registry.register_module("odd", Odd)
            registry.register_module("io.odd", Split)
        """
    return text, plugin


def said(error) -> list[str]:
    return [line.strip() for line in draw_error(error).splitlines()[4:]]


def test_a_target_of_another_dtype_is_told_with_both_sides(failing):
    assert draw_error(failing(*loss("nn.CrossEntropyLoss", "torch.zeros(8)"))) == (
        "loss failed ── configs/experiments/a.yaml:4:40\n"
        "  3 | imports: [extensions.odd]\n"
        "  4 | loss: {fn: {_merge_: replace, _value_: {_type_: nn.CrossEntropyLoss}}}\n"
        "    |                                        ^\n"
        "  In `forward`, `nn.CrossEntropyLoss` raised RuntimeError: expected target dtype to be Long or Byte, but got "
        "Float\n"
        "  prediction: float32 [8, 3]\n"
        "  target: float32 [8]\n"
        "  Its target is the number of a class (int64 [8]), or a probability for each (float32 [8, 3]).\n"
        "  Let the data give whole numbers, or choose a loss for real ones, such as nn.MSELoss."
    )


def test_a_class_that_there_is_not_is_told_with_the_range(failing):
    assert said(failing(*loss("nn.CrossEntropyLoss", "torch.arange(8)"))) == [
        "In `forward`, `nn.CrossEntropyLoss` raised IndexError: Target 3 is out of bounds.",
        "prediction: float32 [8, 3]",
        "target: int64 [8]",
        "The prediction has 3 classes, 0 to 2, and the target goes from 0 to 7.",
        "Let the model's last layer have one output a class, or number the classes from 0 on.",
    ]


def test_two_numbers_of_samples_are_told(failing):
    assert said(failing(*loss("nn.NLLLoss", "torch.zeros(5).long()"))) == [
        "In `forward`, `nn.NLLLoss` raised ValueError: Expected input batch_size (8) to match target batch_size (5).",
        "prediction: float32 [8, 3]",
        "target: int64 [5]",
        "The prediction has 8 samples, and the target 5.",
        "Something on the way changes the first dimension: look for a reshape in the model or in the data.",
    ]


def test_a_loss_that_refuses_another_shape_itself_is_told_with_both(failing):
    assert said(failing(*loss("nn.BCEWithLogitsLoss", "torch.zeros(8)")))[1:] == [
        "prediction: float32 [8, 3]",
        "target: float32 [8]",
        "Both sides need one shape.",
        "Let the model give the target's shape, or the data the prediction's.",
    ]


def test_a_target_of_truth_values_is_told_where_the_loss_computes_with_numbers(failing):
    assert said(failing(*loss("nn.BCEWithLogitsLoss", "torch.zeros(8, 3) > 0")))[1:] == [
        "prediction: float32 [8, 3]",
        "target: bool [8, 3]",
        "The target is bool, and the loss computes in float32.",
        "Let the data give it in float32: by `.to(torch.float32)`, for example.",
    ]


def test_what_would_be_broadcast_is_refused(failing):
    """torch only warns, and compares each sample with all others."""
    assert draw_error(failing(*loss("nn.MSELoss", "torch.zeros(8)", "x[:, :1]"))) == (
        "prediction and target differ in shape ── configs/experiments/a.yaml:4:7\n"
        "  3 | imports: [extensions.odd]\n"
        "  4 | loss: {fn: {_merge_: replace, _value_: {_type_: nn.MSELoss}}}\n"
        "    |       ^\n"
        "  The prediction is float32 [8, 1] and the target float32 [8]: nn.MSELoss would broadcast them, and compare "
        "each sample with others.\n"
        "  Squeeze the prediction, or unsqueeze the target: only a dimension of size 1 differs."
    )


def test_a_loss_within_another_is_drawn_at_itself(failing):
    text, plugin = loss("nn.MSELoss", "torch.zeros(8)", "x[:, :1]")
    inner = "{_type_: loss.torch, fn: {_type_: nn.MSELoss}}"
    text = text.replace(
        "{fn: {_merge_: replace, _value_: {_type_: nn.MSELoss}}}",
        f"{{_merge_: replace, _value_: {{_type_: halved, loss: {inner}}}}}",
    )
    plugin += """
            registry.register_module("halved", Halved)


        class Halved:
            def __init__(self, loss):
                self.loss = loss

            def __call__(self, **given):
                return self.loss(**given)
        """
    error = failing(text, plugin)
    assert error.config_path == ("loss", "loss")
    assert str(error.location) == "configs/experiments/a.yaml:4:58"


def test_of_a_users_own_function_both_sides_are_told_too(failing):
    text, plugin = loss("loss.odd", "torch.zeros(5)")
    plugin += """
            registry.register_module("loss.odd", lambda: distance)


        def distance(prediction, target):
            return (prediction - target).abs().mean()
        """
    error = failing(text, plugin)
    words = "The size of tensor a (3) must match the size of tensor b (5) at non-singleton dimension 1"
    assert str(error.location) == "extensions/odd.py:24:13"
    assert said(error) == [
        f"In `distance`, `loss.odd` raised RuntimeError: {words}",
        "prediction: float32 [8, 3]",
        "target: float32 [5]",
        "in the config: configs/experiments/a.yaml:4:40",
        MEND.strip(),
    ]
