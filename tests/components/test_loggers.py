"""Loggers print lines for people and write rows for programs."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from otrainer.components.loggers import JsonLinesLogger, StdoutLogger
from otrainer.errors import ConfigError


def test_stdout_prints_a_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    logger = StdoutLogger(every_n_steps=10)
    logger.log_metrics({"loss": 0.123456, "lr": 0.001}, step=5, stage="train")
    logger.log_metrics({"loss": 0.123456, "lr": 0.001}, step=10, stage="train")
    logger.log_metrics({"val_loss": 2.0}, step=15, stage="val")

    assert capsys.readouterr().out == (
        "step     10  train    loss 0.1235  lr 0.001\nstep     15  val      val_loss 2\n"
    )


def test_stdout_prints_the_last_training_row_of_each_epoch_that_is_too_short_for_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = StdoutLogger(every_n_steps=10)
    for epoch, last in enumerate((4, 8, 12, 15)):
        for step in range(4 * epoch + 1, last + 1):
            logger.log_metrics({"loss": 1.0}, step=step, stage="train")
        if epoch < 3:
            logger.log_metrics({"val_loss": 2.0}, step=last, stage="val")
    logger.close()

    rows = [line.split()[1:3] for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["4", "train"], ["4", "val"], ["8", "train"], ["8", "val"], ["10", "train"], ["12", "val"], ["15", "train"]
    ]  # fmt: skip


def test_json_lines_appends_rows_and_goes_on_after_a_resume_where_the_checkpoint_was(tmp_path: Path) -> None:
    path = tmp_path / "deep/rows.jsonl"
    first = JsonLinesLogger(str(path))
    first.log_metrics({"loss": 1.0}, step=1, stage="train")
    state = first.state_dict()
    first.log_metrics({"loss": 0.5}, step=2, stage="train")
    first.close()
    second = JsonLinesLogger(str(path))
    second.load_state_dict(state)
    second.log_metrics({"loss": 0.25}, step=2, stage="train")
    second.close()

    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 1, "stage": "train", "loss": 1.0},
        {"step": 2, "stage": "train", "loss": 0.25},
    ]


FOREIGN = ["mine\n", '{"a": 1}\n', "[]\n", '{"step": 15, "stage": "note", "text": "a smaller rate"}\n', "\n", "no end"]


@pytest.mark.parametrize("more", FOREIGN)
@pytest.mark.parametrize("where", ["before", "between", "behind"])
def test_json_lines_drops_its_own_rows_and_leaves_what_somebody_else_appended(
    tmp_path: Path, more: str, where: str
) -> None:
    path = tmp_path / "rows.jsonl"
    first = JsonLinesLogger(str(path))
    first.log_metrics({"loss": 1.0}, step=1, stage="train")
    state = first.state_dict()
    for at in ("before", "between", "behind"):
        if at == where:
            with path.open("a") as file:
                file.write(more)
        if at != "behind":
            first.log_metrics({"loss": float(len(at))}, step=2, stage="train")
    first.close()
    second = JsonLinesLogger(str(path))
    second.load_state_dict(state)
    second.log_metrics({"loss": 0.25}, step=2, stage="train")
    second.close()

    expected = ['{"step": 1, "stage": "train", "loss": 1.0}', more.rstrip("\n")]
    rows = [line.strip() for line in path.read_text().splitlines()]
    assert rows == [*expected, '{"step": 2, "stage": "train", "loss": 0.25}']


def hparams(folder: Path, name: str) -> dict[str, dict[str, str]]:
    return {"run": {"out_dir": str(folder / "runs" / name)}}


def test_runs_that_share_a_file_say_whose_each_row_is_and_drop_their_own_alone(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    one, two = JsonLinesLogger(str(path)), JsonLinesLogger(str(path))
    one.log_hparams(hparams(tmp_path, "one"))
    two.log_hparams(hparams(tmp_path, "two"))
    state = {}
    for step in range(1, 5):
        one.log_metrics({"loss": 1.0}, step=step, stage="train")
        two.log_metrics({"loss": 2.0}, step=step, stage="train")
        state = {**state, step: (one.state_dict(), two.state_dict())}
    again, still = JsonLinesLogger(str(path)), JsonLinesLogger(str(path))
    again.load_state_dict(state[2][0])
    assert again.state_dict()["bytes"] == state[2][0]["bytes"]
    again.log_hparams(hparams(tmp_path, "one"))
    for step in (3, 4):
        again.log_metrics({"loss": 1.5}, step=step, stage="train")
    still.load_state_dict(state[3][1])
    still.log_hparams(hparams(tmp_path, "two"))
    still.log_metrics({"loss": 2.5}, step=4, stage="train")
    for each in (one, two, again, still):
        each.close()

    rows = [json.loads(line) for line in path.read_text().splitlines()]
    steps = {name: [row["step"] for row in rows if row["run"].endswith(name)] for name in ("one", "two")}
    assert steps == {"one": [1, 2, 3, 4], "two": [1, 2, 3, 4]}
    assert [row["loss"] for row in rows if row["step"] == 4] == [1.5, 2.5]


def test_two_loggers_of_one_run_may_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"

    def stretch(steps: range, state: tuple[dict, dict] | None) -> tuple[dict, dict]:
        pair = JsonLinesLogger(str(path)), JsonLinesLogger(str(path))
        for logger, kept in zip(pair, state or (), strict=False):
            logger.load_state_dict(kept)
            logger.log_hparams({})
        saved = (pair[0].state_dict(), pair[1].state_dict())
        for step in steps:
            saved = (pair[0].state_dict(), pair[1].state_dict()) if step == 3 else saved
            for logger in pair:
                logger.log_metrics({}, step=step, stage="train")
        return saved

    stretch(range(3, 6), stretch(range(1, 5), None))

    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_rows_are_json_whatever_is_logged(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    logger = JsonLinesLogger(str(path))
    values = {
        "nan": float("nan"),
        "inf": float("-inf"),
        "count": 3,
        "flag": True,
        "numpy": np.float32(0.5),
        "whole": np.int64(7),
        "gone": np.float64("nan"),
        "tensor": torch.tensor(2.0),
        "vector": torch.tensor([1.0, float("inf")]),
        "half": torch.tensor(0.5, dtype=torch.bfloat16),
        "step": 5,
        "stage": "mine",
        "step_": 6,
        "odd": Path("x"),
    }
    logger.log_metrics(values, step=1, stage="train")
    logger.close()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(path.read_text(), parse_constant=refuse) == {
        "step": 1,
        "stage": "train",
        "nan": None,
        "inf": None,
        "count": 3,
        "flag": True,
        "numpy": 0.5,
        "whole": 7,
        "gone": None,
        "tensor": 2.0,
        "vector": [1.0, None],
        "half": 0.5,
        "step_": 5,
        "stage_": "mine",
        "step__": 6,
        "odd": "x",
    }


def test_a_row_that_found_no_room_leaves_nothing_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    logger = JsonLinesLogger(str(path))
    logger.log_metrics({"loss": 1.0}, step=1, stage="train")
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            logger.log_metrics({"loss": 0.5}, step=2, stage="train")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    logger.log_metrics({"loss": 0.5}, step=2, stage="train")
    logger.close()

    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]


def test_rows_that_are_too_many_go_even_if_none_is_logged_any_more(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    first = JsonLinesLogger(str(path))
    first.log_metrics({}, step=1, stage="train")
    state = first.state_dict()
    first.log_metrics({}, step=2, stage="mine")
    second = JsonLinesLogger(str(path))
    second.load_state_dict({**state, "stages": ["mine"]})
    second.close()

    assert path.read_text() == '{"step": 1, "stage": "train"}\n'


def test_stdout_shows_integers_as_they_are_and_anything_else_somehow(capsys: pytest.CaptureFixture[str]) -> None:
    StdoutLogger().log_metrics(
        {"tokens": 123456, "acc": torch.tensor(0.5), "none": None, "s": "x"}, step=1, stage="val"
    )

    assert capsys.readouterr().out == "step      1  val      tokens 123456  acc 0.5  none None  s x\n"


def test_json_lines_drops_a_row_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step": 2, "stage": "train", "lo')
    logger = JsonLinesLogger(str(path))
    logger.load_state_dict({"bytes": 0})
    logger.log_metrics({}, step=1, stage="train")
    logger.close()

    assert path.read_text() == '{"step": 1, "stage": "train"}\n'


KEPT, SPARE = b'{"step": 1, "stage": "train"}\n', b'{"step": 2, "stage": "train"}\n'
LOST = b"\0" * len(SPARE)
LEFT_BY_A_CUT = {
    "zeros at the end": LOST,
    "zeros before a row": LOST + SPARE,
    "zeros between rows": SPARE + LOST + SPARE,
    "a row without its end": SPARE[:-8] + LOST,
    "a row without its beginning": LOST + SPARE[9:],
    "a row without its middle": SPARE[:12] + LOST + SPARE[-4:],
    "the middle of a row": LOST + SPARE[9:14] + LOST,
    "the end of a line": LOST + b"\n",
    "a row without its newline": SPARE[:-1],
    "half a letter": '{"step": 2, "stage": "train", "ä'.encode()[:-1],
}


@pytest.mark.parametrize("left", LEFT_BY_A_CUT.values(), ids=LEFT_BY_A_CUT)
@pytest.mark.parametrize("mine", [b"", b"mine\n", b'{"a": 1}\n', b"no end"])
def test_what_a_power_cut_left_of_rows_goes_and_what_somebody_wrote_stays(
    tmp_path: Path, left: bytes, mine: bytes
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(KEPT + mine + (b"" if mine.endswith(b"\n") or left[:1] == b"\0" or not mine else b"\n") + left)
    logger = JsonLinesLogger(str(path))
    logger.load_state_dict({"bytes": len(KEPT)})
    logger.log_hparams({})
    logger.log_metrics({}, step=2, stage="train")
    logger.close()

    assert path.read_bytes() == KEPT + mine + (b"\n" if mine == b"no end" else b"") + SPARE


def test_a_run_that_shares_a_file_drops_what_a_cut_left_of_its_rows_and_leaves_other_runs_rows(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    text = json.dumps({"step": 2, "stage": "train", "run": str(tmp_path / "runs/one"), "loss": 1.0}).encode()
    other = text.replace(b"one", b"two")
    path.write_bytes(other + b"\0" * 9 + text + b"\n" + b"\0" * 40 + other + b"\n" + text[:-4])
    logger = JsonLinesLogger(str(path))
    logger.load_state_dict({"bytes": 0})
    logger.log_hparams(hparams(tmp_path, "one"))
    logger.close()

    assert [json.loads(line) for line in path.read_bytes().splitlines()] == [json.loads(other)] * 2


def test_a_run_that_begins_in_a_file_with_zeros_leaves_only_lines_that_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    many = KEPT * ((3 << 20) // len(KEPT))
    path.write_bytes(many + LOST + KEPT + SPARE[:12] + b"\0" * (1 << 16))
    logger = JsonLinesLogger(str(path))
    logger.log_hparams(hparams(tmp_path, "new"))
    logger.log_metrics({}, step=1, stage="train")
    logger.close()

    rows = path.read_bytes()
    assert rows.startswith(many)
    assert [json.loads(line).get("run") for line in rows[len(many) :].splitlines()] == [
        None,
        str(tmp_path / "runs/new"),
    ]


@pytest.mark.parametrize("odd", ["a pipe", "a folder"])
@pytest.mark.parametrize("resumed", [False, True], ids=["anew", "resumed"])
def test_what_keeps_no_rows_is_told_by_name_and_keeps_nobody_waiting(tmp_path: Path, odd: str, resumed: bool) -> None:
    path = tmp_path / "rows.jsonl"
    os.mkfifo(path) if odd == "a pipe" else path.mkdir()
    logger = JsonLinesLogger(str(path))
    if resumed:
        logger.load_state_dict({"bytes": 10})

    with pytest.raises(OSError, match=r"neither a file nor a device|Is a directory") as error:
        logger.log_metrics({"loss": 1.0}, step=1, stage="train")
    assert error.value.filename == str(path)


def test_a_device_takes_rows(tmp_path: Path) -> None:
    logger = JsonLinesLogger(os.devnull)
    logger.log_metrics({"loss": 1.0}, step=1, stage="train")
    logger.close()


@pytest.mark.parametrize("linked", ["the file", "a folder", "the file, to nothing"])
def test_json_lines_writes_through_no_link_inside_of_the_run_s_folder(tmp_path: Path, linked: str) -> None:
    """What it leads to is somebody's, and keeps its bytes; a resume cuts none of them off either."""
    folder, theirs = tmp_path / "runs/one", tmp_path / "theirs"
    (folder / "logs").parent.mkdir(parents=True)
    theirs.mkdir()
    (theirs / "rows.jsonl").write_text('{"step": 1, "stage": "train"}\n')
    if linked == "a folder":
        (folder / "logs").symlink_to(theirs)
    else:
        (folder / "logs").mkdir()
        (folder / "logs/rows.jsonl").symlink_to(theirs / ("rows.jsonl" if linked == "the file" else "new.jsonl"))
    logger = JsonLinesLogger(str(folder / "logs/rows.jsonl"))
    logger.load_state_dict({"bytes": 0})
    with pytest.raises(ConfigError, match=r"is a link to .*: nothing is written through it") as caught:
        logger.log_hparams(hparams(tmp_path, "one"))

    assert caught.value.findings[0].title == "link in the way"
    assert {path.name: path.read_text() for path in theirs.iterdir()} == {
        "rows.jsonl": '{"step": 1, "stage": "train"}\n'
    }


@pytest.mark.parametrize("linked", ["the run's folder", "a file outside"])
def test_json_lines_follows_links_that_lie_outside_of_the_run_s_folder(tmp_path: Path, linked: str) -> None:
    """Who names such a path means it: a disk with more room, a file that all runs share."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "room/one").mkdir(parents=True)
    (tmp_path / "runs/one").symlink_to(tmp_path / "room/one")
    (tmp_path / "all.jsonl").symlink_to(tmp_path / "room/one/rows.jsonl")
    path = tmp_path / ("runs/one/rows.jsonl" if linked == "the run's folder" else "all.jsonl")
    logger = JsonLinesLogger(str(path))
    logger.log_hparams(hparams(tmp_path, "one"))
    logger.log_metrics({"loss": 1.0}, step=1, stage="train")
    logger.close()

    assert json.loads((tmp_path / "room/one/rows.jsonl").read_text())["step"] == 1
