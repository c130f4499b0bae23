"""Each line of a generated forward leads back to the call that it is, to its inputs, and to its places in configs."""

from __future__ import annotations

from otrainer.model import compile_model
from otrainer.model.codegen import line_of

GRAPH = {
    "graph": {
        "inputs": ["x", "max"],
        "modules": {
            "fc": {"_type_": "nn.Linear", "_args_": [3, 4]},
            "rnn": {"_type_": "nn.GRU", "input_size": 4, "hidden_size": 4},
        },
        "steps": [
            {"call": "module:fc", "args": ["$x"], "out": "a"},
            {"call": "op:add", "args": ["$a", "$max"], "out": "sum"},
            {"call": "module:rnn", "args": ["$sum"], "out": ["y", "h"]},
            {"call": "op:identity", "args": [{"list": ["$y", "$h", "$y"]}], "out": {"z": "list"}},
        ],
        "outputs": ["z"],
    }
}


def lines(make, section):
    model = make(section)
    found = [line_of(type(model), number) for number in range(1, len(model.code.splitlines()) + 1)]
    return [line and (line.number, line.takes) for line in found]


def test_a_line_knows_its_call_and_its_inputs_by_their_names_in_the_config(make):
    """Some values have another name in the code, where theirs is a word of Python's."""
    assert lines(make, GRAPH) == [
        None,
        None,
        (0, {"x": "x"}),
        (1, {"a": "a", "max": "max_1"}),
        (2, {"sum": "sum_1"}),
        (2, {"step_2": "step_2"}),
        (2, {"step_2": "step_2_parts"}),
        (2, {"step_2": "step_2_parts"}),
        (3, {"y": "y", "h": "h"}),
        (3, {"step_3": "step_3"}),
        None,
    ]


def test_a_call_is_written_at_its_module_or_at_itself(registry):
    ir = compile_model(GRAPH, registry=registry)
    graph = ("model", "graph")
    assert [ir.spec_path(node) for node in ir.program.nodes] == [
        (*graph, "modules", "fc"),
        (*graph, "steps", 1),
        (*graph, "modules", "rnn"),
        (*graph, "steps", 3),
    ]


def test_places_are_those_of_the_config_that_is_asked_about(make, registry):
    """Two configs that come to one program share a class, and not their places."""
    node = {"call": "op:identity", "args": ["$x"]}
    listed = {"nodes": [{"name": "y", **node}]}
    named = {"nodes": {"y": node}, "order": ["y"]}
    sections = [{"graph": {"inputs": ["x"], **nodes, "outputs": ["y"]}} for nodes in (listed, named)]
    irs = [compile_model(section, registry=registry) for section in sections]
    one, other = (type(make(section)) for section in sections)
    assert one is other
    assert [line_of(one, 2).node(ir).path[2:] for ir in irs] == [("nodes", 0), ("nodes", "y")]
