"""dataset.text_lines finds the lines of files as Python does, and reads only what is asked for."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import StopAt, fit, parameters_of

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.data import DatasetDataModule, text_lines
from otrainer.components.data.pad import PadCollate
from otrainer.components.data.samplers import BucketSampler
from otrainer.components.data.text_lines import TextLinesDataset
from otrainer.components.io import ArgsKwargs
from otrainer.engine.data.loader import Loader
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.errors import ConfigError


def texts(data: TextLinesDataset) -> list[bytes]:
    return [bytes(data[index]["tokens"].tolist()) for index in range(len(data))]


LINE = st.binary(max_size=6).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b""))


@given(
    files=st.lists(st.lists(LINE, min_size=1, max_size=8), min_size=1, max_size=3),
    end=st.sampled_from([b"\n", b"\r\n"]),
    last=st.booleans(),
    chunk=st.integers(1, 9),
)
@settings(deadline=None, max_examples=60)
def test_lines_are_those_that_python_finds(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[bytes]], end: bytes, last: bool, chunk: int
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    paths = []
    for number, lines in enumerate(files):
        path = folder / f"{number}.txt"
        path.write_bytes(end.join(lines) + (end if last or not lines[-1] else b""))
        paths.append(str(path))
    wanted = [line for lines in files for line in lines]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_lines, "CHUNK", chunk)
        assert texts(TextLinesDataset(paths, skip_empty=False)) == wanted
        if any(wanted):
            assert texts(TextLinesDataset(paths)) == [line for line in wanted if line]


def words(text: str) -> list[int]:
    return [len(word) for word in text.split()]


def test_a_tokenizer_makes_numbers_of_texts(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("so weit, so gut\n\nschön\n", encoding="utf-8")
    data = TextLinesDataset(str(path), words, max_length=3)

    assert [data[index]["tokens"].tolist() for index in range(2)] == [[2, 5, 2], [5]]
    assert data[0]["tokens"].dtype == torch.int64
    assert data.column("length") == [15, 6]
    assert [each.tolist() for each in data.column("tokens")] == [[2, 5, 2], [5]]


def test_it_names_its_files_and_goes_to_workers_without_its_data(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("a line\n" * 10_000)
    data = TextLinesDataset(str(path))

    assert len(data) == 10_000
    assert data.files() == [str(path)]
    assert len(pickle.dumps(data)) < 500


def test_batches_of_lines_are_the_same_with_workers_and_from_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("".join("x" * (n % 7 + 1) + "\n" for n in range(50)))

    def batches(workers: int, start: int = 0) -> list[Any]:
        sampler, collate = BucketSampler("length", pool=3), PadCollate(["tokens"], mask=True)
        data = TextLinesDataset(str(path))
        module = DatasetDataModule(data, batch_size=4, sampler=sampler, collate=collate, num_workers=workers)
        loader = Loader(module.train_dataloader, seed=0, stage="train")
        return [batch["tokens"].tolist() for batch in loader.epoch(2, start=start)]

    whole = batches(0)
    assert batches(1) == whole
    assert batches(0, 5) == whole[5:]


@pytest.mark.parametrize(
    ("content", "tokenizer", "told"),
    [
        (b"", None, "There is no line in"),
        (b"\n\n", None, "There is no line in"),
        (b"\nf\xffr\n", words, "Line 2 of `.*` is not UTF-8"),
        (b"a\n", len, "The tokenizer returned int for line 1 of"),
        (b"a\n", str, "The tokenizer returned str for line 1 of"),
    ],
)
def test_what_gives_no_tokens_is_told_with_file_and_line(
    tmp_path: Path, content: bytes, tokenizer: Any, told: str
) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        TextLinesDataset(str(path), tokenizer).check()


def test_arguments_that_fit_no_lines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="path is a file"):
        TextLinesDataset([])
    with pytest.raises(ValueError, match="tokenizer is a spec"):
        TextLinesDataset("a.txt", 3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no data file"):
        TextLinesDataset(str(tmp_path / "a.txt")).check()


class LengthIO:
    """The mean of a line's bytes from their number."""

    def split(self, batch: Any, *, stage: str) -> tuple[ArgsKwargs, Any, Any]:
        x = batch["tokens_length"].float().unsqueeze(1)
        return ArgsKwargs(args=(x,)), {"y": batch["tokens"].sum(1, keepdim=True) / x / 128}, None


@pytest.mark.parametrize("stops", [(1, 3), (4, 5), (5, 9)])
def test_a_run_on_lines_that_is_stopped_twice_ends_as_if_it_had_not_been(
    tmp_path: Path, stops: tuple[int, int]
) -> None:
    path = tmp_path / "t.txt"
    path.write_text("".join(chr(97 + n) * (n % 5 + 1) + "\n" for n in range(20)))

    def train(folder: str, *, stop_at: int | None = None, resume: bool = False) -> torch.Tensor:
        torch.manual_seed(0)
        last = tmp_path / folder / "last.pt"
        data = TextLinesDataset(str(path))
        with StopRequest():
            model = fit(
                torch.nn.Linear(1, 1),
                DatasetDataModule(data, batch_size=4, collate=PadCollate(["tokens"], lengths=True)),
                io=LengthIO(),
                trainer={"max_epochs": 2},
                callbacks=[ModelCheckpoint(str(last.parent)), StopAt(stop_at)],
                run={"resume_from": str(last)} if resume else {},
            )
        return parameters_of(model)

    with pytest.raises(TrainingInterrupted):
        train("broken", stop_at=stops[0])
    with pytest.raises(TrainingInterrupted):
        train("broken", stop_at=stops[1], resume=True)
    assert torch.equal(train("broken", resume=True), train("whole"))
