"""A secret in the hands of plugins that misuse it: nothing that otrainer writes, prints or keeps holds its value."""

from __future__ import annotations

import base64
import shutil
import traceback
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from projects import doit
from trained import REPO, ask, inside

from otrainer.errors import ConfigError
from otrainer.experiment import run_experiment
from otrainer.stages.outcome import Outcome
from otrainer.storage.canonical_json import read_json
from otrainer.storage.experiments import find_experiment
from otrainer.tasks.worker.execute import execute

pytestmark = pytest.mark.filterwarnings("ignore:warned of")

CORE = "s3cr3tCoreValue"
SECRET = f"{CORE}/\"q'\\ +&ü=end"
EXPERIMENT = """\
# Hands a secret to parts that misuse it.
schema_version: 1
settings: {allowed_import_prefixes: [otrainer., extensions.]}
imports: [extensions.leaky]
params: {url: 'postgres://u:${secret:LEAK}@host/db'}
run: {name: NAME, out_dir: 'runs/${run.name}'}
trainer: {_type_: trainer.default, max_epochs: 2, log_every_n_steps: 1}
data: {_type_: data.leaky, token: '${secret:LEAK}', fail: FAIL}
io: {_type_: io.mapping, model_kwargs: {x: [x]}, targets: {y: [y]}}
loss: {_type_: loss.leaky, token: '${secret:LEAK}', fail: FAIL}
optimizer: {_type_: optim_factory.torch, type: optim_cls.leaky, kwargs: {lr: 0.1, token: '${secret:LEAK}'}}
metrics: [{_type_: metric.leaky, token: '${secret:LEAK}'}]
callbacks:
  - {_type_: cb.keeps, token: '${secret:LEAK}', fail: FAIL}
  - {_type_: cb.states, url: '${params.url}'}
  - {_type_: cb.model_checkpoint, save_dir: '${run.out_dir}/checkpoints', every_n_steps: 1, keep_last: 2}
loggers:
  - {_type_: log.stdout}
  - {_type_: log.json_lines, path: '${run.out_dir}/metrics.jsonl'}
  - {_type_: log.leaky, token: '${secret:LEAK}', path: '${run.out_dir}'}
model:
  sequential:
    layers: [{_type_: nn.Linear, in_features: 4, out_features: 4}, {_type_: net.leaky, token: '${secret:LEAK}'}]
"""
PLUGIN = '''\
"""Parts that misuse a secret."""

import base64
import json
import logging
import os
import sys
import traceback
import urllib.parse
import warnings
from pathlib import Path

import torch

from otrainer.components.loss import LossOutput

log = logging.getLogger("leaky")
held = sys.stdout
print("imported with", os.environ.get("LEAK"))


class Data(torch.utils.data.Dataset):
    def __init__(self, token, fail):
        self.token, self.fail = token, fail

    def setup(self, stage=None):
        print("set up with", self.token)
        if self.fail == "setup":
            raise LookupError("not for " + self.token)

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return {"x": torch.ones(2, 4), "y": torch.zeros(2, 4)}

    def train_dataloader(self):
        return torch.utils.data.DataLoader(self, batch_size=None)

    val_dataloader = train_dataloader


class Loss:
    def __init__(self, token, fail):
        self.token, self.fail = token, fail

    def __repr__(self):
        return f"Loss({self.token!r})"

    def __call__(self, *, outputs, targets, batch, stage):
        self.last = {"url": "https://x/?t=" + urllib.parse.quote(self.token), "at": [self.token.encode()]}
        if self.fail == "loss":
            try:
                raise OSError(5, "refused", self.token)
            except OSError as error:
                error.add_note(f"with {self.token}")
                raise RuntimeError(f"{self!r} failed for {self.token}") from error
        return LossOutput((outputs - targets["y"]).square().mean(), {f"with_{self.token}": torch.tensor(1.0)})


class Leaky(torch.optim.SGD):
    def __init__(self, params, lr=0.1, token=os.environ.get("LEAK")):
        super().__init__(params, lr=lr)
        for group in self.param_groups:
            group["token"] = token


class Metric:
    def __init__(self, token):
        self.token, self.seen = token, {}

    def reset(self):
        self.seen = {}

    def update(self, *, outputs, targets, batch, stage):
        self.seen[self.token] = self.seen.get(self.token, 0) + 1

    def compute(self):
        return {f"seen_{self.token}": self.seen[self.token]}


class Keeps:
    """Keeps it as attributes, and tells it in every way."""

    def __init__(self, token, fail):
        self.token, self.fail = token, fail
        if fail == "init":
            raise KeyError(token, {"token": token})

    def on_fit_start(self, ctx):
        self.headers = {"Authorization": "Bearer " + self.token, self.token: self.token.encode()}
        self.basic = "Basic " + base64.b64encode(f"user:{self.token}".encode()).decode()
        log.warning("token %s", self.token)
        log.error("config %r", {"token": self.token})
        logging.getLogger().addHandler(logging.FileHandler(Path(ctx.run.out_dir, "train.log")))
        print("print", self.token, json.dumps({"token": self.token}), repr({"token": self.token}))
        print("held", self.token, file=held)
        sys.stderr.write(f"stderr {self.token}\\n")
        sys.stdout.buffer.write(f"bytes {self.token}\\n".encode())
        sys.stdout.flush()
        warnings.warn(f"warned of {self.token}")
        print(ctx.model, ctx.loss, self.basic, ctx.run.config)

    def on_train_step_end(self, ctx):
        try:
            raise ValueError(self.token)
        except ValueError:
            log.exception("step with %s", self.token)

    def on_exception(self, ctx, exc):
        Path(ctx.run.out_dir, "crash.txt").write_text("".join(traceback.format_exception(exc)))
        raise RuntimeError(f"and {self.token}")


class States:
    def __init__(self, url):
        self.url, self.steps = url, 0

    def on_train_step_end(self, ctx):
        self.steps += 1

    def state_dict(self):
        return {"steps": self.steps, self.url: [self.url.encode(), (self.url,)], "json": json.dumps([self.url])}

    def load_state_dict(self, state):
        self.steps = state["steps"]
        assert state == self.state_dict(), "the state came back another"


class Logger:
    def __init__(self, token, path):
        self.token, self.path = token, Path(path)

    def log_hparams(self, hparams):
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "hparams.json").write_text(json.dumps(hparams))

    def log_metrics(self, metrics, *, step, stage):
        log.info("%s %s", stage, sorted(metrics))


class Layer(torch.nn.Module):
    def __init__(self, token):
        super().__init__()
        self.token = token

    def forward(self, x):
        return x

    def extra_repr(self):
        return f"token={self.token}"

    def get_extra_state(self):
        return {"token": self.token}

    def set_extra_state(self, state):
        assert state["token"] == self.token


def register(registry):
    registry.register_module("data.leaky", Data)
    registry.register_module("loss.leaky", Loss)
    registry.register_module("optim_cls.leaky", Leaky)
    registry.register_module("metric.leaky", Metric)
    registry.register_module("cb.keeps", Keeps)
    registry.register_module("cb.states", States)
    registry.register_module("log.leaky", Logger)
    registry.register_module("net.leaky", Layer)
'''


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("leaks")
    shutil.copy(REPO / "dodo.py", root)
    (root / "configs/experiments").mkdir(parents=True)
    (root / "extensions").mkdir()
    (root / "extensions/__init__.py").touch()
    (root / "extensions/leaky.py").write_text(PLUGIN)
    for name, fail in (("good", "no"), ("unbuilt", "init"), ("broken", "loss"), ("unready", "setup")):
        text = EXPERIMENT.replace("NAME", name).replace("FAIL", repr(fail))
        (root / f"configs/experiments/{name}.yaml").write_text(text)
    return root


def shown(data: bytes) -> list[str]:
    """How `data` shows the secret."""
    forms = {"plain": CORE.encode(), "hex": CORE.encode().hex().encode(), "utf-16": CORE.encode("utf-16-le")}
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + SECRET.encode())
        forms[f"base64 from {before}"] = encoded[4:20]
    return [form for form, text in forms.items() if text in data]


def contents(root: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below `root`, members of archives too, with its name in front."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield str(path), str(path).encode() + path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    for name in archive.namelist():
                        yield f"{path}:{name}", archive.read(name)


def leaks(root: Path) -> dict[str, list[str]]:
    return {name: forms for name, data in contents(root) if (forms := shown(data))}


def stages(root: Path, name: str, words: str) -> list[Outcome]:
    experiment = find_experiment(name, root)
    with inside(root):
        return [execute(stage, experiment, root) for stage in words.split()]


def edit(root: Path, name: str, old: str, new: str) -> None:
    path = root / f"configs/experiments/{name}.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_a_training_by_doit_leaves_no_trace_of_the_secret(root: Path) -> None:
    """Nor does another value of the secret, or none, make anything stale."""
    done = doit(root, "train", "EXP=good", LEAK=SECRET)

    assert done.returncode == 0, done.stderr
    for line in ("imported with ${secret:LEAK}", "held ${secret:LEAK}", "bytes ${secret:LEAK}", "Layer(token=${secret"):
        assert line in done.stdout
    for line in ("token ${secret:LEAK}", "stderr ${secret:LEAK}", "warned of ${secret:LEAK}"):
        assert line in done.stderr
    assert shown((done.stdout + done.stderr).encode()) == []
    assert leaks(root) == {}
    assert "step with ${secret:LEAK}" in (root / "runs/good/train.log").read_text()
    assert "postgres://u:${secret:LEAK}@host/db" in (root / "runs/good/hparams.json").read_text()
    for environ in ({"LEAK": "another value"}, {}):
        again = doit(root, "train", "EXP=good", **environ)
        assert [line[:2] for line in again.stdout.splitlines()] == ["--"] * 4


def test_a_run_goes_on_with_a_new_value_of_its_secret(root: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """What the checkpoint holds comes back with the value as it is now: `load_state_dict` of the parts looks at it."""
    monkeypatch.setenv("LEAK", f"{SECRET}-rotated")
    edit(root, "good", "max_epochs: 2", "max_epochs: 3")

    outcomes = stages(root, "good", "resolve manifest validate resume")

    assert [outcome.status for outcome in outcomes] == ["ok"] * 4, outcomes[-1].drawn
    assert "continued from" in outcomes[-1].report
    assert shown("".join(capfd.readouterr()).encode()) == []
    assert leaks(root) == {}


@pytest.mark.parametrize(
    ("name", "told"), [("unbuilt", "KeyError: ('${secret:LEAK}'"), ("broken", "failed for ${secret")]
)
def test_a_failure_does_not_tell_the_secret(root: Path, name: str, told: str, monkeypatch: Any, capfd: Any) -> None:
    """In a constructor, in training, and in a callback that writes the traceback down and fails as well."""
    monkeypatch.setenv("LEAK", SECRET)

    *_, outcome = stages(root, name, "resolve manifest validate fit")

    assert told in outcome.drawn
    assert shown(repr(outcome).encode()) == []
    assert shown("".join(capfd.readouterr()).encode()) == []
    assert leaks(root) == {}


@pytest.mark.parametrize(("name", "kind"), [("broken", RuntimeError), ("unready", LookupError)])
def test_an_exception_from_run_experiment_holds_no_secret(
    root: Path, name: str, kind: type[Exception], monkeypatch: Any
) -> None:
    """Whoever called it may show it in their own way, with what is behind it."""
    monkeypatch.setenv("LEAK", SECRET)

    with inside(root), pytest.raises(ConfigError) as error:
        run_experiment(f"configs/experiments/{name}.yaml")

    assert type(error.value.__cause__) is kind
    assert shown("".join(traceback.format_exception(error.value)).encode()) == []
    assert "for ${secret:LEAK}" in str(error.value)


def test_another_reference_is_another_value(root: Path, monkeypatch: Any) -> None:
    """The definition of a run holds the variable's name."""
    monkeypatch.setenv("LEAK", SECRET)
    monkeypatch.setenv("OTHER", SECRET)
    before = read_json(root / "build/unbuilt/validated.json")
    edit(
        root,
        "unbuilt",
        "data.leaky, token: '${secret:LEAK}'",
        "data.leaky, token: '${secret:OTHER}'",
    )

    stages(root, "unbuilt", "resolve manifest validate")

    after = read_json(root / "build/unbuilt/validated.json")
    assert (after["config"]["data"]["token"], before["definition"] == after["definition"]) == ("${secret:OTHER}", False)


@pytest.mark.parametrize(("query", "more"), [("show", {}), ("why", {}), ("diff", {"WITH": "broken"}), ("runs", {})])
def test_questions_show_the_reference(
    root: Path, query: str, more: dict[str, str], monkeypatch: Any, capfd: Any
) -> None:
    monkeypatch.setenv("LEAK", SECRET)

    outcome = ask(query, root, "good", **more)

    told = "".join([outcome.drawn, *capfd.readouterr()])
    assert told.strip()
    assert shown(told.encode()) == []
