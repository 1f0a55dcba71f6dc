"""The scheduler of a farm, in simulated time: nothing is lost whatever happens to workers, and nothing is told twice."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.farm.scheduler import Policy, Scheduler
from backend.farm.worker import Drawn, Failed
from models.errors import StyleRigError
from tests.helpers.simulated_crew import DIES, HANGS, IDENTITY, SimulatedCrew


def run(crew: SimulatedCrew, pictures: int = 40, workers: int = 4, **policy) -> dict[int, Drawn | Failed]:
    """What became of each picture; that it is told once is asserted."""
    told: dict[int, Drawn | Failed] = {}

    def take(outcome: Drawn | Failed) -> None:
        assert outcome.number not in told
        told[outcome.number] = outcome

    Scheduler(crew, range(1, pictures + 1), workers, IDENTITY, take, lambda text: None, Policy(**policy)).run()
    assert sorted(told) == list(range(1, pictures + 1))
    return told


def failed(told: dict) -> list[int]:
    return [number for number, outcome in sorted(told.items()) if isinstance(outcome, Failed)]


def test_all_are_drawn_once_by_workers_that_share_them():
    crew = SimulatedCrew()
    assert failed(run(crew)) == []
    assert len(crew.given) == 40 and crew.most_under_way == 2
    assert set(Counter(worker for worker, _ in crew.given).values()) == {10}
    assert crew.clock == pytest.approx(14)  # 4 s to start, then 40 pictures by four


def test_no_more_workers_than_pictures():
    crew = SimulatedCrew()
    run(crew, pictures=2, workers=50)
    assert crew.started == 2


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(0, 20))
def test_killed_workers_lose_nothing(seed, workers, deaths):
    lot = random.Random(seed)
    crew = SimulatedCrew(lambda number, worker: lot.uniform(0.2, 2), deaths=[lot.uniform(0, 80) for _ in range(deaths)], seed=seed)
    told = run(crew, pictures=60, workers=workers, tries=deaths + 1, dead_starts=deaths + 1)
    assert failed(told) == []
    assert len(crew.given) <= 60 + 2 * deaths  # nothing twice but what a kill costs


def test_a_picture_that_ends_its_workers_is_given_up():
    crew = SimulatedCrew(outcome=lambda number, worker: DIES if number == 7 else None)
    told = run(crew)
    assert failed(told) == [7] and told[7].code == "worker_lost" and "ended its worker" in told[7].message
    assert Counter(number for _, number in crew.given)[7] == 3


def test_a_picture_that_fails_has_three_tries():
    tries = Counter()

    def outcome(number: int, worker: int) -> str | None:
        tries[number] += 1
        return "bad luck" if number == 5 or (number == 6 and tries[6] < 3) else None

    told = run(SimulatedCrew(outcome=outcome))
    assert failed(told) == [5] and told[5].message == "bad luck"
    assert tries[5] == tries[6] == 3 and tries[1] == 1


def test_another_worker_draws_what_takes_too_long():
    crew = SimulatedCrew(lambda number, worker: HANGS if worker == 1 and number > 20 else 1.0)
    assert failed(run(crew)) == []
    assert crew.clock < 4 + 40 / 3 + 15  # soon after ten seconds, not after half an hour
    assert max(Counter(number for _, number in crew.given).values()) == 2


def test_a_worker_that_hangs_is_ended():
    crew = SimulatedCrew(lambda number, worker: HANGS if worker == 1 else 1.0)
    assert failed(run(crew, workers=1, longest=60)) == []
    assert 1 not in crew.free and crew.started == 2


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("weights_hash", "0" * 64, "weights_hash 000000000000 instead of ffffffffffff"),
        ("version", "1.1", r"version 1\.1 instead of 1\.0"),
        ("torch", "2.1", r"torch 2\.1 instead of 2"),
        ("numpy", "4", "numpy 4 instead of 3"),
        ("model", "stylerig", "model stylerig instead of studio"),
    ],
)
def test_a_farm_that_is_mixed_is_refused_before_the_first_picture(name, value, said):
    other = dataclasses.replace(IDENTITY, **{name: value})
    crew = SimulatedCrew(answer=lambda worker: other if worker == 3 else IDENTITY)
    with pytest.raises(StyleRigError, match=said) as caught:
        run(crew)
    assert caught.value.code == "mixed_farm" and crew.given == []


def test_a_worker_that_cannot_draw_the_job_says_why():
    crew = SimulatedCrew(answer=lambda worker: StyleRigError("There are no weights.", "Install them."))
    with pytest.raises(StyleRigError, match="There are no weights"):
        run(crew)
    assert crew.given == []


def test_workers_that_never_begin_end_the_run():
    crew = SimulatedCrew(answer=lambda worker: "out of memory")
    with pytest.raises(StyleRigError, match="No worker stays: out of memory"):
        run(crew)


def test_what_is_drawn_stays_told_when_no_worker_stays():
    crew = SimulatedCrew(
        outcome=lambda number, worker: DIES if number == 5 else None, answer=lambda worker: IDENTITY if worker == 1 else "out of memory"
    )
    told = run(crew, pictures=8, workers=1)
    assert failed(told) == [5, 6, 7, 8]
    assert all(told[number].code == "no_workers" and "out of memory" in told[number].message for number in (5, 6, 7, 8))


def test_those_that_are_ready_do_not_wait_for_ever():
    crew = SimulatedCrew()
    crew.start_seconds = 4
    slow_start = crew.start

    def start() -> int:
        crew.start_seconds = 4 if crew.started < 2 else 1e6  # the cluster has room for two
        return slow_start()

    crew.start = start
    assert failed(run(crew, patience=30)) == []
    assert {worker for worker, _ in crew.given} == {1, 2} and crew.clock < 30 + 25
