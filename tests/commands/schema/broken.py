"""Configs with one mistake each, and the place where it is."""

from __future__ import annotations

GRAPH = """\
model:
  graph:
    inputs: [x]
    modules: {{a: {{_type_: nn.ReLU}}}}
    {calls}
    outputs: [$y]
"""


def graph(calls: str) -> str:
    return GRAPH.format(calls=calls)


BROKEN = {
    # sections and what a file says of itself
    "a typo in a section": ("schduler: {_type_: sched_factory.torch}", ""),
    "an unknown section": ("mine: {a: 1}", ""),
    "a typo in params' neighbour": ("param: {a: 1}", ""),
    "another schema version": ("schema_version: 2", "schema_version"),
    "defaults as text": ("defaults: base.yaml", "defaults"),
    "a number among defaults": ("defaults: [base.yaml, 3]", "defaults.1"),
    "imports as text": ("imports: extensions.mine", "imports"),
    "an import that is no module": ("imports: [extensions/mine.py]", "imports.0"),
    "templates as a list": ("templates: [a]", "templates"),
    "an unknown setting": ("settings: {strct: true}", "settings"),
    "a setting of a wrong type": ("settings: {strict: 1}", "settings.strict"),
    "an import prefix that is none": (
        "settings: {allowed_import_prefixes: [a-b]}",
        "settings.allowed_import_prefixes.0",
    ),
    # the run
    "an unknown run key": ("run: {sede: 1}", "run"),
    "a run that is no mapping": ("run: mine", "run"),
    "a run name with a slash": ("run: {name: a/b}", "run.name"),
    "a run name of another type": ("run: {name: 3}", "run.name"),
    "a negative seed": ("run: {seed: -1}", "run.seed"),
    "a seed that is text": ("run: {seed: one}", "run.seed"),
    "an unknown precision": ("run: {precision: fp8}", "run.precision"),
    "deterministic as text": ("run: {deterministic: sometimes}", "run.deterministic"),
    "an unknown compile option": ("run: {compile: {mod: default}}", "run.compile"),
    "an unknown matmul precision": ("run: {matmul_precision: low}", "run.matmul_precision"),
    # components
    "a component that is no mapping": ("trainer: default", "trainer"),
    "a required section that is null": ("trainer:", "trainer"),
    "a typo in a key": ("trainer: {_type_: trainer.defualt}", "trainer._type_"),
    "a key of another kind": ("trainer: {_type_: loss.torch}", "trainer._type_"),
    "a key that is no text": ("trainer: {_type_: 3}", "trainer._type_"),
    "a typo in a keyword": ("trainer: {_type_: trainer.default, max_epoch: 3}", "trainer"),
    "a typo in a keyword without its key": ("trainer: {max_epoch: 3}", "trainer"),
    "a typo in a keyword under _kwargs_": (
        "trainer: {_type_: trainer.default, _kwargs_: {max_epoch: 3}}",
        "trainer._kwargs_",
    ),
    "a keyword of a wrong type": ("trainer: {_type_: trainer.default, max_epochs: three}", "trainer.max_epochs"),
    "a keyword of a wrong type without its key": ("trainer: {max_epochs: [3]}", "trainer.max_epochs"),
    "text around an expression for a number": ("trainer: {max_epochs: 'a${params.a}'}", "trainer.max_epochs"),
    "an item of a wrong type": ("data: {_type_: data.random_regression, x_shape: [3, x]}", "data.x_shape.1"),
    "null for what takes none": ("data: {_type_: data.random_regression, batch_size: null}", "data.batch_size"),
    "text for what is built": ("loss: {_type_: loss.torch, fn: mse}", "loss.fn"),
    "a typo in a nested key": ("loss: {_type_: loss.torch, fn: {_type_: nn.MSELos}}", "loss.fn._type_"),
    "a typo in a nested keyword": ("loss: {_type_: loss.torch, fn: {_type_: nn.MSELoss, reducton: sum}}", "loss.fn"),
    "a plugin's keyword": ("data: {_type_: data.constant_regression, valu: 1.0}", "data"),
    "a key and a target": ("loss: {_type_: loss.torch, _target_: a.b}", "loss"),
    "an unknown reserved key": ("params: {a: {_typ_: nn.ReLU}}", "params.a"),
    "an unknown class": ("optimizer: {_type_: optim_factory.torch, type: optim_cls.SDG}", "optimizer.type"),
    "a class of another kind": ("optimizer: {type: sched_cls.StepLR}", "optimizer.type"),
    "a keyword of a class": ("optimizer: {type: optim_cls.SGD, kwargs: {betas: [0.9, 0.9]}}", "optimizer.kwargs"),
    "a keyword of no class": ("optimizer: {kwargs: {learning_rate: 1}}", "optimizer.kwargs"),
    "a class's keyword of a wrong type": (
        "scheduler: {type: sched_cls.StepLR, kwargs: {step_size: x}}",
        "scheduler.kwargs.step_size",
    ),
    "what a class is given by its factory": (
        "optimizer: {type: optim_cls.SGD, kwargs: {params: []}}",
        "optimizer.kwargs",
    ),
    "a spec among a class's keywords": (
        "optimizer: {type: optim_cls.SGD, kwargs: {lr: {_type_: tensor, data: 1.0}}}",
        "optimizer.kwargs.lr",
    ),
    "a mapping for a class's number": ("optimizer: {kwargs: {lr: {a: 1}}}", "optimizer.kwargs.lr"),
    "a spec among a factory's args": ("optimizer: {args: [{_type_: tensor}]}", "optimizer.args.0"),
    "two numbers where a pair is asked": (
        "optimizer: {type: optim_cls.Adam, kwargs: {betas: [0.9]}}",
        "optimizer.kwargs.betas",
    ),
    "callbacks that are no list": ("callbacks: {_type_: cb.early_stopping}", "callbacks"),
    "a callback without a key": ("callbacks: [{monitor: val_loss}]", "callbacks.0"),
    "a logger among callbacks": ("callbacks: [{_type_: log.stdout}]", "callbacks.0._type_"),
    "a callback without what it needs": ("callbacks: [{_type_: cb.model_checkpoint}]", "callbacks.0"),
    # containers
    "a wrong merge mode": ("callbacks: {_merge_: apend, _value_: []}", "callbacks._merge_"),
    "a container without a value": ("callbacks: {_merge_: append}", "callbacks"),
    "a container without a mode": ("callbacks: {_value_: []}", "callbacks"),
    "a container with another key": ("callbacks: {_merge_: append, _value_: [], monitor: x}", "callbacks"),
    "keyed without a key": ("callbacks: {_merge_: keyed, _value_: []}", "callbacks"),
    "a key without keyed": ("callbacks: {_merge_: append, _value_: [], key: a}", "callbacks"),
    "no list to append": ("callbacks: {_merge_: append, _value_: {_type_: cb.early_stopping}}", "callbacks._value_"),
    "a mistake in what is appended": (
        "callbacks: {_merge_: append, _value_: [{_type_: cb.early_stopping, patiense: 3}]}",
        "callbacks._value_.0",
    ),
    "an element without a key in what is appended": (
        "callbacks: {_merge_: append, _value_: [{monitor: a}]}",
        "callbacks._value_.0",
    ),
    "a mistake in what replaces": (
        "trainer: {_merge_: replace, _value_: {_type_: trainer.default, max_epoch: 3}}",
        "trainer._value_",
    ),
    "a template that is no name": ("trainer: {_template_: [a]}", "trainer._template_"),
    "a mistake beside a template": ("trainer: {_template_: a, max_epoch: 3}", "trainer"),
    "a mistake inside a template": ("templates: {a: {_type_: nn.Linear, in_feature: 3}}", "templates.a"),
    # models
    "a model that is none": ("model: {layers: []}", "model"),
    "both models": ("model: {sequential: {layers: [{_type_: nn.ReLU}]}, graph: {}}", "model"),
    "no layers": ("model: {sequential: {layers: []}}", "model.sequential.layers"),
    "a layer that is text": ("model: {sequential: {layers: [nn.ReLU]}}", "model.sequential.layers.0"),
    "a typo in a layer": ("model: {sequential: {layers: [{_type_: nn.Relu}]}}", "model.sequential.layers.0._type_"),
    "a layer without what it needs": (
        "model: {sequential: {layers: [{_type_: nn.Linear, in_features: 3}]}}",
        "model.sequential.layers.0",
    ),
    "two inputs of a sequence": ("model: {sequential: {inputs: [x, y]}}", "model.sequential.inputs"),
    "an input that is no name": ("model: {graph: {inputs: [3x]}}", "model.graph.inputs.0"),
    "an optional input of two names": ("model: {graph: {inputs: [x, {y: 1, z: 2}]}}", "model.graph.inputs.1"),
    "an optional input by a list": ("model: {graph: {inputs: [x, {y: [1]}]}}", "model.graph.inputs.1.y"),
    "an unknown way to return": ("model: {graph: {return: list}}", "model.graph.return"),
    "an unknown key of a graph": ("model: {graph: {step: []}}", "model.graph"),
    "a module that is text": ("model: {graph: {modules: {a: nn.ReLU}}}", "model.graph.modules.a"),
    "a module that is no name": ("model: {graph: {modules: {a-b: {_type_: nn.ReLU}}}}", "model.graph.modules"),
    "a step without out": (graph("steps: [{call: module:a, args: [$x]}]"), "model.graph.steps.0"),
    "a step without a call": (graph("steps: [{out: y}]"), "model.graph.steps.0"),
    "a step with a name": (graph("steps: [{name: a, call: module:a, out: y}]"), "model.graph.steps.0"),
    "a typo in a step": (graph("steps: [{call: module:a, arg: [$x], out: y}]"), "model.graph.steps.0"),
    "a call that is none": (graph("steps: [{call: modul:a, out: y}]"), "model.graph.steps.0.call"),
    "an unknown op": (graph("steps: [{call: op:ad, out: y}]"), "model.graph.steps.0.call"),
    "an out that is no name": (graph("steps: [{call: module:a, out: 3y}]"), "model.graph.steps.0.out"),
    "an out that picks nothing": (graph("steps: [{call: module:a, out: {y: [0]}}]"), "model.graph.steps.0.out.y"),
    "args that are no list": (graph("steps: [{call: module:a, args: $x, out: y}]"), "model.graph.steps.0.args"),
    "a spec among args": (
        graph("steps: [{call: module:a, args: [{_type_: tensor}], out: y}]"),
        "model.graph.steps.0.args.0",
    ),
    "steps and nodes": (graph("steps: []\n    nodes: []"), "model.graph"),
    "a node without a name": (graph("nodes: [{call: module:a}]"), "model.graph.nodes.0"),
    "a typo in a node of a mapping": (graph("nodes: {a: {cal: module:a}}"), "model.graph.nodes.a"),
    "outputs as text": ("model: {graph: {outputs: y}}", "model.graph.outputs"),
}

BROKEN |= {
    "a copy without a number": (
        "model: {sequential: {layers: [{repeat: often, of: {_type_: nn.ReLU}}]}}",
        "model.sequential.layers.0.repeat",
    ),
    "a module that repeats without a spec": (
        "model: {graph: {modules: {a: {repeat: 2, of: nn.ReLU}}}}",
        "model.graph.modules.a.of",
    ),
    "a module that repeats half": (
        "model: {graph: {modules: {a: {repeat: half, of: {_type_: nn.ReLU}}}}}",
        "model.graph.modules.a.repeat",
    ),
    "a typo in a step that repeats": (
        graph("steps: [{repeat: 2, of: [{call: module:a, arg: [$x], out: y}]}]"),
        "model.graph.steps.0.of.0",
    ),
    "a step that repeats, with an out": (
        graph("steps: [{repeat: 2, of: [{call: module:a, out: y}], out: y}]"),
        "model.graph.steps.0",
    ),
    "a length that is another word": (
        "scheduler: {_type_: sched_factory.torch, type: sched_cls.CosineAnnealingLR, kwargs: {T_max: all}}",
        "scheduler.kwargs.T_max",
    ),
    "auto for what is no length": (
        "scheduler: {_type_: sched_factory.torch, type: sched_cls.CosineAnnealingLR, kwargs: {eta_min: auto}}",
        "scheduler.kwargs.eta_min",
    ),
    "a typo in one of several models": (
        "model: {components: {a: {sequential: {layrs: []}}}}",
        "model.components.a.sequential",
    ),
    "a typo in one of several optimizers": (
        "optimizer: {a: {_type_: optim_factory.torch, type: optim_cls.SGD, every: 2}}",
        "optimizer.a",
    ),
}

FINE = {
    "nothing": "schema_version: 1",
    "expressions for values": "trainer: {max_epochs: '${params.n}', grad_clip_norm: '${env:float:CLIP,1.0}'}",
    "a default with braces": "data: {x_shape: '${env:json:SHAPE,{\"a\": [1]}}'}",
    "expressions inside text": "run: {name: 'a-${params.n}', out_dir: 'runs/${run.name}', precision: '${params.p}'}",
    "an expression for a section": "trainer: ${params.trainer}",
    "an expression for an element": "callbacks: ['${params.callback}']",
    "an expression for a key": "trainer: {_type_: 'trainer.${params.kind}', anything: 1}",
    "a layer that repeats": "model: {sequential: {layers: [{repeat: 2, of: {_type_: nn.ReLU}}]}}",
    "a layer that is called": "model: {sequential: {layers: [{layer: {_type_: nn.LSTM, _args_: [3, 3]}, pick: 0}]}}",
    "layers that repeat": "model: {sequential: {layers: [{repeat: 3, of: [{_type_: nn.ReLU}]}]}}",
    "a module that repeats": "model: {graph: {modules: {a: {repeat: 2, of: {_type_: nn.ReLU}}}}}",
    "steps that repeat": graph("steps: [{repeat: 2, of: [{call: module:a.1, args: [$x], out: x}]}]"),
    "a node that repeats": graph("nodes: [{repeat: 2, of: {name: x, call: op:add, args: [$x, 1]}}]"),
    "several models": "model: {components: {a: {_type_: nn.ReLU}, b: {sequential: {layers: [{_type_: nn.ReLU}]}}}}",
    "a length that is the run's": (
        "scheduler: {_type_: sched_factory.torch, type: sched_cls.CosineAnnealingLR, kwargs: {T_max: auto}}"
    ),
    "a length that is the run's, of a base's class": "scheduler: {kwargs: {total_steps: auto, max_lr: 0.1}}",
    "a length that is a number": "scheduler: {kwargs: {total_steps: 100}}",
    "several optimizers": "optimizer: {a: {_type_: optim_factory.torch, type: optim_cls.SGD, every_n_steps: 2}}",
    "a section of a base": "trainer: {max_epochs: 3}",
    "a nested value of a base": "loss: {fn: {reduction: sum}}",
    "a factory's class of a base": "optimizer: {kwargs: {lr: 1, betas: [0.9, 0.99]}}",
    "no scheduler": "scheduler: null",
    "no callbacks": "callbacks: null\nloggers: []\nmetrics:\nimports:\nsettings:\ndefaults:\ntemplates:",
    "what replaces": "trainer: {_merge_: replace, _value_: {_type_: trainer.default, max_epochs: 3}}",
    "what is appended": "callbacks: {_merge_: append, _value_: [{_type_: cb.early_stopping}]}",
    "what is matched": "callbacks: {_merge_: keyed, key: _type_, _value_: [{_type_: cb.early_stopping, mode: max}]}",
    "a container for a number": "trainer: {max_epochs: {_merge_: replace, _value_: 3}}",
    "a container for arguments": "optimizer: {kwargs: {_merge_: replace, _value_: {lr: 1}}}",
    "a template's use": "templates: {t: {_type_: trainer.default}}\ntrainer: {_template_: t, max_epochs: 3}",
    "a template among layers": "model: {sequential: {layers: [{_template_: block, out_features: 3}]}}",
    "a template of steps": "model: {graph: {steps: [{_template_: step, out: y}]}}",
    "a template of the whole": "_template_: all",
    "arguments by position": "model: {sequential: {layers: [{_type_: nn.Linear, _args_: [3, 4]}]}}",
    "arguments under _kwargs_": "trainer: {_type_: trainer.default, _kwargs_: {max_epochs: 3}}",
    "a target": "callbacks: [{_target_: extensions.mine.Callback, any: thing}]",
    "an open key": "model: {sequential: {layers: [{_type_: nn.Identity, any: thing}]}}",
    "a tensor for a number": "loss: {fn: {_type_: nn.HuberLoss, delta: {_type_: tensor, data: 1.0}}}",
    "a widened default": "model: {sequential: {layers: [{_type_: mlp, dims: [null, 3], activation: null}]}}",
    "compile options": "run: {compile: {mode: default}, deterministic: true, seed: null}",
    "own values": "params: {a: [1, {b: null}], c: text}",
    "unknown sections where nothing is strict": "settings: {strict: false}\nmine: {a: 1}",
    "steps": graph("steps: [{call: module:a, args: [$x, [1, {k: $x}]], kwargs: {dim: 1}, out: [y, z]}]"),
    "picked results": graph("steps: [{call: op:identity, args: [$x], out: {y: key, z: 0}}]"),
    "nodes": graph("nodes: [{name: y, call: module:a, args: [$x]}]"),
    "nodes by name": graph("nodes: {y: {call: module:a, args: [$x]}}\n    order: [y]"),
    "nodes by name with their order": graph("nodes: {order: [y], y: {call: module:a}}"),
    "a node of a base": "model: {graph: {nodes: {y: {args: [$z]}}, modules: {a: {inplace: true}}}}",
    "matched steps": "model: {graph: {steps: {_merge_: keyed, key: out, _value_: [{out: y, args: [$z]}]}}}",
    "outputs by name": "model: {graph: {outputs: {logits: $y}, return: dict}}",
}
