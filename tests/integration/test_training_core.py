"""The one trainer: what it continues, what it refuses, what it writes and says."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from models.errors import StyleRigError
from models.training.core.checkpoint import Stopped
from models.training.core.config import Settings, Stage, load_settings, parse_settings
from models.training.core.log import TrainingLog, clock
from models.training.core.report import loss_plots, table, write_report
from models.training.core.schedule import warmup_cosine
from models.training.core.trainer import LossTask, Plan, Progress, Trainer

PLAN = Plan(seed=1, checkpoint_minutes=1000.0, sample_minutes=1000.0)


class Line(LossTask):
    """Fits a number to 3; step ``broken`` has a loss that is no number, step ``stopped`` asks the process to stop."""

    def __init__(self, broken: int = -1, stopped: int = -1):
        self.network = torch.nn.Linear(1, 1)
        torch.nn.init.zeros_(self.network.weight)
        torch.nn.init.zeros_(self.network.bias)
        self.modules = {"network": self.network}
        self.optimizers = {"network": torch.optim.Adam(self.network.parameters())}
        self.broken, self.stopped, self.counted = broken, stopped, 0

    def batch(self, progress, rng):
        if progress.steps == self.stopped:
            os.kill(os.getpid(), signal.SIGTERM)
        return rng.randn(1, 1), float("nan") if progress.steps == self.broken else 1.0

    def losses(self, batch, rng):
        noise, factor = batch
        return {"error": (self.network(1 + 0.1 * noise) - 3).square().sum() * factor}

    def after_step(self, progress, losses):
        self.counted += 1
        return {"counted": self.counted}

    def write_samples(self, progress):
        return {"distance": abs(float(self.network.bias) - 3)}

    def state(self):
        return {"counted": self.counted}

    def load_state(self, state):
        self.counted = state["counted"]


STAGES = (Stage(batch=4, steps=40, learning_rate=0.1, warmup_images=8), Stage(batch=2, images=40, learning_rate=0.05, final_rate=0.5))


def trainer(folder: Path, task: Line, key: str = "key", said: list | None = None, **options) -> Trainer:
    return Trainer("line", task, PLAN, STAGES, folder, key, say=(said if said is not None else []).append, **options)


def weights(task: Line) -> list[float]:
    return [value.item() for value in task.network.parameters()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that ran through: its folder, its task, what it said."""
    folder, said = tmp_path_factory.mktemp("whole"), []
    task = Line()
    trainer(folder, task, said=said).run()
    return folder, task, said


def test_it_trains_through_all_stages_and_says_so(whole):
    folder, task, said = whole
    assert task.counted == 60 and 2 < sum(weights(task)) < 4
    assert said[-1].startswith("line: done, 60 steps") and "stage 1/2  step 1  " in said[0] and "error " in said[0]
    entries = TrainingLog(folder / "log.jsonl").read()
    assert [entry["step"] for entry in entries] == [1, 41, 60] and [entry["stage"] for entry in entries][:2] == [1, 2]
    assert entries[0]["losses"]["counted"] == 1 and entries[-1]["losses"]["distance"] < 3
    assert entries[1]["images"] == 40 * 4 + 2


@pytest.mark.parametrize("step", [10, 50])
def test_one_that_was_stopped_ends_in_the_same_weights(whole, tmp_path, step):
    first = trainer(tmp_path, Line(stopped=step))
    with pytest.raises(Stopped):
        first.run()
    second = trainer(tmp_path, Line())
    assert second.progress.steps == step + 1 and second.task.counted == step + 1
    second.run()
    assert weights(second.task) == weights(whole[1])
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_one_that_is_finished_does_nothing_more(whole):
    said = []
    again = trainer(whole[0], Line(), said=said)
    again.run()
    assert said == ["line: was finished before"] and weights(again.task) == weights(whole[1])


def test_values_that_are_no_numbers_end_it_with_the_state_before_them(tmp_path):
    with pytest.raises(StyleRigError, match=r"error is no longer a number at step 30 .120 images., in stage 1") as caught:
        trainer(tmp_path, Line(broken=30)).run()
    assert caught.value.code == "diverged" and "checkpoint.pt is kept" in caught.value.hint
    again = trainer(tmp_path, Line())
    assert again.progress.steps == 30 and all(map(math.isfinite, weights(again.task)))


def test_a_gradient_that_is_no_number_is_found_before_the_step(tmp_path):
    task = Line()
    task.losses = lambda batch, rng: {"error": (task.network(batch[0]) * 0).sqrt().sum()}  # 0, with a slope without end
    with pytest.raises(StyleRigError, match="the gradient is no longer a number at step 0"):
        trainer(tmp_path, task).run()
    assert weights(task) == [0, 0]


def test_a_checkpoint_of_something_else_is_refused_or_left_alone(whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "copy")
    with pytest.raises(StyleRigError, match="belongs to another training") as caught:
        trainer(folder, Line(), key="other")
    assert caught.value.code == "other_training"
    said = []
    assert trainer(folder, Line(), key="other", said=said, restart=True).progress == Progress()
    assert "starts again" in said[0]
    torch.save({"networks": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(StyleRigError, match="another version"):
        trainer(tmp_path, Line())


@pytest.mark.parametrize(
    ("stage", "progress", "fraction"),
    [
        (Stage(steps=10), Progress(stage_steps=5, stage_images=99, stage_seconds=99), 0.5),
        (Stage(images=100, steps=100), Progress(stage_steps=10, stage_images=40), 0.4),
        (Stage(minutes=1, images=100), Progress(stage_seconds=45, stage_images=10), 0.75),
        (Stage(steps=10), Progress(stage_steps=11), 1.0),
    ],
)
def test_a_stage_ends_by_what_comes_first(stage, progress, fraction):
    assert progress.fraction(stage) == pytest.approx(fraction)


def test_the_time_left_counts_later_stages(tmp_path):
    run = trainer(tmp_path, Line())
    run.progress = Progress(stage_steps=10, stage_images=40, stage_seconds=20.0)
    assert run.seconds_left() == pytest.approx(20 * 3 + 40 * 20 / 40)
    assert [clock(seconds) for seconds in (5, 65, 3725)] == ["0:05", "1:05", "1:02:05"]


def test_the_schedule_rises_and_falls():
    assert warmup_cosine(0.0, 0.25) == 0.25 and warmup_cosine(0.0, 3.0) == 1.0
    assert warmup_cosine(0.5, final=0.2) == pytest.approx(0.6) and warmup_cosine(1.0, final=0.2) == pytest.approx(0.2)
    assert Stage(warmup_images=100, steps=1).learning_rate_factor(0.0, 50) == 0.5
    assert Stage(steps=1).learning_rate_factor(0.0, 1) == 1.0


class Inner(Settings):
    renamed: ClassVar[dict[str, str]] = {"old": "new"}
    new: float = 1.0


class Outer(Settings):
    count: int = 1
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"speed": 3}, "there is no setting speed; there are count, inner"),
        ({"inner": {"speed": 3}}, "inner: there is no setting speed; there are new"),
        ({"inner": {"new": "fast"}}, "inner.new: should be a valid number, not 'fast'"),
        ({"inner": {"new": math.nan}}, "inner.new: should be a finite number"),
        ({"count": True}, "count: should be a valid integer, not True"),
        ({"count": 1.5, "inner": 3}, "count: should be a valid integer, not 1.5; inner: "),
        ([1], "it is not a table of names and values"),
    ],
)
def test_faults_of_settings_are_named_with_their_place(values, message):
    with pytest.raises(StyleRigError) as caught:
        parse_settings(Outer, values, "plan.toml")
    assert caught.value.message.startswith("plan.toml cannot be used: ") and message in caught.value.message


def test_settings_are_read_from_toml_and_json_also_by_their_earlier_names(tmp_path):
    (tmp_path / "a.toml").write_text("count = 2\n[inner]\nold = 3")
    (tmp_path / "a.json").write_text(json.dumps({"count": 2, "inner": {"new": 3}}))
    read = [load_settings(Outer, tmp_path / name) for name in ("a.toml", "a.json")]
    assert read[0] == read[1] == Outer(count=2, inner=Inner(new=3.0)) and read[0].replace(count=5).inner.new == 3
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(StyleRigError, match=r"bad.json cannot be used: it is not JSON"):
        load_settings(Outer, tmp_path / "bad.json")


def test_a_log_drops_what_a_checkpoint_does_not_know_and_says_when_the_disk_is_full(tmp_path, monkeypatch):
    log = TrainingLog(tmp_path / "log.jsonl")
    for step in (1, 2, 3):
        log.write(step=step, losses={"pair": 1.0})
    with log.path.open("a") as file:
        file.write('{"step": 4, "los')
    log.forget_after(2)
    assert [entry["step"] for entry in log.read()] == [1, 2] and log.losses() == {"pair": [(1, 1.0), (2, 1.0)]}
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    monkeypatch.setattr(log, "path", Path("/dev/full"))
    with pytest.raises(StyleRigError, match="No space left"):
        log.write(step=3)


def test_a_report_shows_the_losses(whole, tmp_path):
    log = TrainingLog(whole[0] / "log.jsonl")
    page = write_report(tmp_path / "results.md", "Line", ["Text."], {"line": log, "nothing": TrainingLog(tmp_path / "none")})
    text = page.read_text()
    assert text.startswith("# Line\n\nText.\n") and "![line](loss-line.png)" in text and "nothing" not in text
    assert (tmp_path / "loss-line.png").is_file()
    drawn = loss_plots(log)
    assert drawn.dtype == np.uint8 and drawn.shape == (320, 2 * 420, 3) and drawn.min() < 100
    assert table(("a", "b"), [(1, "x|y")]) == ["| a | b |", "|---|---|", "| 1 | x/y |"]
