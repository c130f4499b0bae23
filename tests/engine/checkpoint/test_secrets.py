"""A run's state in a checkpoint: secrets go in as references, and come out with the values that they have now."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import pytest
import torch

from otrainer.diagnostics.redaction.values import forget, remember
from otrainer.engine.checkpoint import load_model_state
from otrainer.engine.checkpoint.secrets import concealed, revealed
from otrainer.errors import ConfigError

PASSWORD = 'hunter2-pä"ss'  # noqa: S105 - it is one
CONFIG = {"callbacks": [{"_type_": "cb.any", "token": "${secret:PW}"}]}


def state(**parts: Any) -> dict[str, Any]:
    return {
        "model": OrderedDict(weight=torch.ones(2)),
        "optimizer": {"param_groups": [{"lr": 0.1}]},
        "callbacks": [],
        "loss": None,
        "train_state": {"epoch": 1},
        "rng": {"python": PASSWORD},
        "meta": {"format": 2, "built": {"optimizer": {"groups": []}}},
        **parts,
    }


def test_without_secrets_a_state_stays_the_same_object() -> None:
    """And with those of another experiment."""
    given = state(loss={"attributes": {"token": PASSWORD}})
    assert concealed(given, CONFIG) is given
    assert revealed(given) is given
    remember({"OTHER": PASSWORD})
    assert concealed(given, CONFIG) is given


def test_what_holds_a_secret_comes_back_with_its_new_value() -> None:
    """Texts, bytes and keys, in whatever form; references as text and the names of weights stay what they are."""
    remember({"PW": PASSWORD})
    given = state(
        model=OrderedDict({PASSWORD: torch.ones(2), "layer._extra_state": {"token": PASSWORD}}),
        callbacks=[
            {"class": "Any", "state": {"state_dict": {f"a{PASSWORD}": [PASSWORD.encode(), ("${secret:PW}", 1)]}}}
        ],
        loss={"attributes": {"url": f"https://x/?t={PASSWORD}", "json": '{"t": "hunter2-p\\u00e4\\"ss"}'}},
        meta={"format": 2, "built": {"optimizer": {"groups": [{"token": PASSWORD}]}}},
    )
    before = copy.deepcopy(given)

    held = concealed(given, CONFIG)

    assert given["callbacks"] == before["callbacks"]
    assert "hunter2" not in str({**held, "rng": None, "model": list(held["model"].values())})
    assert held["callbacks"][0]["state"]["state_dict"] == {"a${secret:PW}": [b"${secret:PW}", ("${secret:}PW}", 1)]}
    assert (held["meta"]["secrets"], list(held["model"])) == (["PW"], [PASSWORD, "layer._extra_state"])
    assert held["model"][PASSWORD] is given["model"][PASSWORD]

    remember({"PW": "rotated"})
    back = revealed(held)

    assert back["callbacks"][0]["state"]["state_dict"] == {"arotated": [b"rotated", ("${secret:PW}", 1)]}
    assert back["model"]["layer._extra_state"] == {"token": "rotated"}
    assert back["loss"]["attributes"] == {"url": "https://x/?t=rotated", "json": '{"t": "rotated"}'}
    assert back["meta"] == {"format": 2, "built": {"optimizer": {"groups": [{"token": "rotated"}]}}}
    assert revealed(back) is back


def test_plain_attributes_that_cannot_be_given_back_are_left_to_the_new_component() -> None:
    """Those of a secret that the config no longer names, and those that hold a part of one."""
    remember({"PW": f"{PASSWORD}\nsecond line"})
    given = state(loss={"attributes": {"token": f"{PASSWORD}\nsecond line", "line": "second line", "count": 3}})
    held = concealed(given, CONFIG)
    assert revealed(held)["loss"] == {"attributes": {"token": f"{PASSWORD}\nsecond line", "count": 3}}
    forget()
    assert revealed(held)["loss"] == {"attributes": {"count": 3}}


def test_a_state_dict_that_cannot_be_given_back_is_an_error_at_its_section() -> None:
    remember({"PW": PASSWORD})
    held = concealed(state(callbacks=[{"class": "Any", "state": {"state_dict": {"a": PASSWORD}}}]), CONFIG)
    forget()
    with pytest.raises(ConfigError, match="`callbacks` of the checkpoint holds the secret `PW`") as error:
        revealed(held)
    assert error.value.config_path == ("callbacks",)


def test_a_models_weights_are_loaded_whatever_the_other_parts_hold() -> None:
    """As for inference, where no secret is set."""
    remember({"PW": PASSWORD})
    model = torch.nn.Linear(2, 1)
    held = concealed(state(model=model.state_dict(), loss={"state_dict": {"token": PASSWORD}}), CONFIG)
    forget()
    other = torch.nn.Linear(2, 1)
    load_model_state(other, held)
    assert torch.equal(other.weight, model.weight)


def test_a_tensor_that_spells_a_secret_is_refused() -> None:
    """Its bytes cannot be replaced; other tensors are not looked at."""
    remember({"PW": PASSWORD})
    spelt = torch.frombuffer(bytearray(PASSWORD.encode()), dtype=torch.uint8)
    with pytest.raises(ConfigError, match="spells a secret") as error:
        concealed(state(callbacks=[{"class": "Any", "state": {"state_dict": {"blob": spelt}}}]), CONFIG)
    assert error.value.config_path == ("callbacks",)
    assert "`callbacks[0].state.state_dict.blob`" in str(error.value)
    concealed(state(loss={"state_dict": {"a": spelt.float(), "b": torch.arange(9, dtype=torch.uint8)}}), CONFIG)
