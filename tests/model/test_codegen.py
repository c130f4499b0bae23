"""Generated classes: they compute what the graph says, and stay whole through copies, pickles and compilers."""

from __future__ import annotations

import copy
import functools
import pickle
import subprocess
import sys
import traceback
import weakref

import cloudpickle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from otrainer.config import Settings
from otrainer.model import assemble, compile_model
from otrainer.model.ir import Items, Pairs, Ref
from otrainer.registry import build_registry

SMALL = {
    "graph": {
        "inputs": ["x", "z"],
        "modules": {
            "fc": {"_type_": "nn.Linear", "_args_": [3, 4]},
            "rnn": {"_type_": "nn.GRU", "input_size": 4, "hidden_size": 4, "batch_first": True},
        },
        "steps": [
            {"call": "module:fc", "args": ["$x"], "out": "a"},
            {"call": "module:fc", "args": ["$z"], "out": "b"},
            {"call": "op:stack", "args": ["$a", "$b"], "kwargs": {"dim": 1}, "out": "pair"},
            {"call": "module:rnn", "args": ["$pair"], "out": ["y", "h"]},
            {"call": "op:getitem", "args": ["$h", 0], "out": "last"},
        ],
        "outputs": {"y": "y", "last": "last"},
    }
}
X, Z = torch.linspace(-1, 1, 6).reshape(2, 3), torch.linspace(2, 3, 6).reshape(2, 3)


def same(one, other):
    return list(one) == list(other) and all(torch.equal(one[key], other[key]) for key in one)


def test_the_code_is_plain_python_that_frees_values_after_their_last_use(make):
    assert make(SMALL).code == (
        "def forward(self, x, z):\n"
        "    a = self.fc(x);  x = None\n"
        "    b = self.fc(z);  z = None\n"
        "    pair = op_stack(a, b, dim = 1);  a = b = None\n"
        "    step_3 = self.rnn(pair);  pair = None\n"
        "    step_3_parts = op_unpack(step_3, 2);  step_3 = None\n"
        "    y = step_3_parts[0]\n"
        "    h = step_3_parts[1];  step_3_parts = None\n"
        "    last = op_getitem(h, 0);  h = None\n"
        "    return {'y': y, 'last': last}\n"
    )


def test_a_value_is_gone_after_its_last_use(make, registry):
    seen = []

    class Big:
        pass

    def make_big(x):
        big = Big()
        seen.append(weakref.ref(big))
        return big

    registry.register_op("big", make_big)
    registry.register_op("use", lambda big: 1)
    registry.register_op("look", lambda _: seen[0]() is None)
    steps = [
        {"call": "op:big", "args": ["$x"], "out": "b"},
        {"call": "op:use", "args": ["$b"], "out": "u"},
        {"call": "op:look", "args": ["$u"], "out": "gone"},
    ]
    assert make({"graph": {"inputs": ["x"], "steps": steps, "outputs": ["gone"]}})(0) is True


def test_tracebacks_show_the_generated_line(make):
    model = make(SMALL)
    with pytest.raises(RuntimeError) as caught:
        model(torch.zeros(2, 5), Z)
    assert "a = self.fc(x)" in "".join(traceback.format_exception(caught.value))


def test_models_of_one_program_share_a_class_and_others_do_not(make, registry):
    registry.register_op("see", lambda x, value: value)

    def model(value):
        steps = [{"call": "op:see", "args": ["$x", value], "out": "y"}]
        return make({"graph": {"inputs": ["x"], "steps": steps, "outputs": ["y"]}})

    assert type(make(SMALL)) is type(make(SMALL))
    assert [model(value)(0) for value in (1, True, 1.0)] == [1, True, 1.0]
    assert [type(model(value)(0)) for value in (1, True, 1.0)] == [int, bool, float]


def test_one_program_with_another_op_behind_its_name_is_another_class():
    section = {"graph": {"inputs": ["x"], "steps": [{"call": "op:f", "args": ["$x"], "out": "y"}], "outputs": ["y"]}}

    def model(function):
        registry = build_registry()
        registry.register_op("f", function)
        return assemble(compile_model(section, registry=registry), registry, Settings())

    assert [model(function)(-2) for function in (abs, float)] == [2, -2.0]


class Scale:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x, shift=0.0):
        return x * self.factor + shift


@pytest.mark.parametrize(
    "op",
    [functools.partial(torch.add, other=1), Scale(3), lambda x: -x, torch.relu, abs, Scale(2).__call__],
    ids=["partial", "callable object", "lambda", "torch", "builtin", "bound method"],
)
@pytest.mark.parametrize("name", ["my.op-1", "cat2", "torch"])
def test_anything_that_can_be_called_can_be_an_op(make, registry, op, name):
    registry.register_op(name, op)
    section = {
        "graph": {"inputs": ["x"], "steps": [{"call": f"op:{name}", "args": ["$x"], "out": "y"}], "outputs": ["y"]}
    }
    model = make(section)
    assert torch.equal(model(X), op(X))
    assert torch.equal(copy.deepcopy(model)(X), op(X))
    assert torch.equal(cloudpickle.loads(cloudpickle.dumps(model))(X), op(X))


def test_copies_keep_weights_inputs_code_and_training_flag_and_share_nothing(make):
    model = make(SMALL).eval()
    twin = copy.deepcopy(model)
    assert type(twin) is type(model)
    assert (twin.inputs, twin.code, twin.training) == (["x", "z"], model.code, False)
    assert same(twin(X, Z), model(X, Z))
    with torch.no_grad():
        twin.fc.weight.zero_()
    assert not same(twin(X, Z), model(X, Z))


def test_a_copy_keeps_weights_that_two_modules_share(make):
    linear = {"_type_": "nn.Linear", "_args_": [3, 3]}
    model = make({"sequential": {"layers": [linear, linear]}})
    model.layers[1].weight = model.layers[0].weight
    twin = copy.deepcopy(model)
    assert twin.layers[1].weight is twin.layers[0].weight


def test_a_pickle_opens_in_another_process(make, tmp_path):
    model = make(SMALL)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    torch.save(model(X, Z), tmp_path / "out.pt")
    code = (
        "import pickle, torch; m = pickle.load(open('model.pkl', 'rb')); out = torch.load('out.pt'); "
        "x = torch.linspace(-1, 1, 6).reshape(2, 3); z = torch.linspace(2, 3, 6).reshape(2, 3); "
        "print(m.inputs, all(torch.equal(m(x, z)[k], out[k]) for k in out))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['x', 'z'] True"


def test_it_compiles_in_one_piece(make, registry):
    steps = [
        {"call": "module:fc", "args": ["$x"], "out": "a"},
        {"call": "op:split", "args": ["$a"], "out": ["low", "high"]},
        {"call": "op:cat", "args": [["$high", "$low"]], "kwargs": {"dim": 1}, "out": "y"},
    ]
    registry.register_op("split", lambda x: x.chunk(2, dim=1))
    model = make({"graph": {**SMALL["graph"], "inputs": ["x"], "steps": steps, "outputs": ["y", "x"]}})
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(compiled(X), model(x=X), strict=True))


def test_it_exports(make):
    model = make(SMALL).eval()
    program = torch.export.export(model, (X,), {"z": Z})
    assert same(program.module()(X, z=Z), model(X, Z))


def test_inputs_cannot_be_changed_through_the_list_that_is_given_out(make):
    model = make(SMALL)
    model.inputs.append("more")
    assert model.inputs == ["x", "z"]


LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
NAMES = st.sampled_from(
    ["a", "b", "sum", "list", "x1", "self_", "op_nest", "type", "_", "layers", "Tensor", "inf", "e"]
)


@st.composite
def graphs(draw):
    """A random graph of calls of one op that keeps all it is given."""
    inputs = draw(st.lists(st.sampled_from(["x", "input", "dict", "op_nest_1"]), min_size=1, unique=True))
    known, steps = list(inputs), []

    def argument():
        reference = st.sampled_from(known).map(lambda name: f"${name}")
        literal = LITERALS.map(escaped)
        return draw(reference | literal | st.lists(reference, max_size=2) | reference.map(lambda ref: {"k": [ref]}))

    for name in draw(st.lists(NAMES, max_size=6, unique=True)):
        args = [argument() for _ in range(draw(st.integers(0, 3)))]
        kwargs = {
            key: argument() for key in draw(st.lists(st.sampled_from(["p", "sum", "x"]), unique=True, max_size=2))
        }
        form = draw(st.sampled_from(["one", "list", "mapping"]))
        outs = {"one": name, "list": [name, f"{name}_2"], "mapping": {name: "args", f"{name}_2": "kwargs"}}[form]
        steps.append({"call": "op:nest", "args": args, "kwargs": kwargs, "out": outs})
        made = [name] if form == "one" else [name, f"{name}_2"]
        known += [value for value in made if form != "list" or value != "_"]  # a list leaves out what `_` stands for
    outputs = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3))
    returns = draw(st.sampled_from(["tuple"] + ["dict"] * (len(set(outputs)) == len(outputs))))
    return {"inputs": inputs, "steps": steps, "outputs": outputs, "return": returns}


def escaped(value):
    if isinstance(value, str):
        return f"${value}" if value.startswith("$") else value
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return {key: escaped(item) for key, item in value.items()} if isinstance(value, dict) else value


class Nested(dict):
    """What the op returns: a dict that also unpacks into two."""

    def __getitem__(self, key):
        return list(self.values())[key] if isinstance(key, int) else super().__getitem__(key)


def nest(*args, **kwargs):
    return Nested(args=list(args), kwargs=kwargs)


def interpret(program, given):
    """The program, run node by node without any generated code."""
    values = dict(given)

    def evaluate(arg):
        if isinstance(arg, Ref):
            return values[arg.name]
        if isinstance(arg, Items):
            return [evaluate(item) for item in arg.items]
        return {key: evaluate(item) for key, item in arg.pairs} if isinstance(arg, Pairs) else arg

    for node in program.nodes:
        result = nest(*map(evaluate, node.args), **{key: evaluate(arg) for key, arg in node.kwargs})
        if isinstance(node.out, str):
            values[node.out] = result
        else:
            pairs = (
                enumerate(node.out) if isinstance(node.out, tuple) else ((key, name) for name, key in node.out.pairs)
            )
            values.update({name: result[key] for key, name in pairs})
    found = [(key, values[name]) for key, name in program.outputs]
    return dict(found) if program.returns == "dict" else tuple(value for _, value in found)


@settings(deadline=None, max_examples=80)
@given(graphs())
def test_the_generated_forward_equals_an_interpreter(graph):
    registry = build_registry()
    registry.register_op("nest", nest)
    ir = compile_model({"graph": graph}, registry=registry)
    model = assemble(ir, registry, Settings())
    given = {name: object() for name in graph["inputs"]}
    expected = interpret(ir.program, given)
    assert repr(model(**given)) == repr(model(*given.values())) == repr(expected)
    assert repr(copy.deepcopy(model)(**given)) == repr(expected)
    assert repr(pickle.loads(pickle.dumps(model))(**given)) == repr(expected)  # noqa: S301 - pickled one line above
