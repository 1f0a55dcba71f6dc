"""Workers of a farm in simulated time: they start, draw, fail and die as a test or a benchmark says."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from itertools import count

from backend.farm.scheduler import Event, Finished, Lost, Ready
from backend.farm.worker import Drawn, Failed, Identity
from models.errors import StyleRigError

IDENTITY = Identity("1.0", "studio", "f" * 64, "2", "3")
DIES = "dies"  # in place of an outcome: the picture ends its worker
HANGS = float("inf")


class SimulatedCrew:
    """See ``scheduler.Crew``.

    ``seconds(number, worker)`` a picture takes; ``outcome(number, worker)`` is None for a picture that is drawn, the reason
    of one that fails, or DIES. ``deaths`` are moments at which a worker drawn by lot is killed. ``driver`` are the seconds
    that the driver is busy for each picture that it gives.
    """

    def __init__(
        self,
        seconds: Callable[[int, int], float] = lambda number, worker: 1.0,
        outcome: Callable[[int, int], str | None] = lambda number, worker: None,
        answer: Callable[[int], Identity | StyleRigError | str] = lambda worker: IDENTITY,
        start: float = 4.0,
        driver: float = 0.0,
        deaths: Iterable[float] = (),
        seed: int = 0,
    ):
        self.seconds, self.outcome, self.answer, self.start_seconds, self.driver = seconds, outcome, answer, start, driver
        self.random, self.order = random.Random(seed), count()
        self.clock = 0.0
        self.events: list[tuple[float, int, Event | None]] = []
        self.free: dict[int, float] = {}  # living workers: when each has nothing to draw any more
        self.given: list[tuple[int, int]] = []
        self.under_way: dict[int, set[int]] = {}
        self.most_under_way = self.started = 0
        for moment in deaths:
            self.push(moment, None)

    def push(self, moment: float, event: Event | None) -> None:
        heapq.heappush(self.events, (moment, next(self.order), event))

    def now(self) -> float:
        return self.clock

    def start(self) -> int:
        self.started += 1
        worker, ready = self.started, self.clock + self.start_seconds
        self.free[worker], self.under_way[worker] = ready, set()
        answer = self.answer(worker)
        self.push(ready, Lost(worker, answer) if isinstance(answer, str) else Ready(worker, answer))
        return worker

    def give(self, worker: int, number: int) -> None:
        self.clock += self.driver
        self.given.append((worker, number))
        self.under_way[worker].add(number)
        self.most_under_way = max(self.most_under_way, len(self.under_way[worker]))
        seconds, outcome = self.seconds(number, worker), self.outcome(number, worker)
        self.free[worker] = end = max(self.free[worker], self.clock) + seconds
        if outcome == DIES:
            self.push(end, Lost(worker, "it was ended by its picture"))
        elif outcome:
            self.push(end, Finished(worker, Failed(number, outcome, "", "fault", str(worker))))
        elif seconds != HANGS:
            self.push(end, Finished(worker, Drawn(number, f"{number}.png", "", seconds, str(worker), False)))

    def end(self, worker: int) -> None:
        del self.free[worker]

    def wait(self, seconds: float) -> list[Event]:
        limit = self.clock + seconds
        while self.events and self.events[0][0] <= limit:
            self.clock = max(self.clock, self.events[0][0])
            found = [event for event in self.due() if self.happens(event)]
            if found:
                return found
        self.clock = max(self.clock, limit)
        return []

    def due(self) -> list[Event]:
        """What has happened until now; a death by lot strikes here."""
        found = []
        while self.events and self.events[0][0] <= self.clock:
            event = heapq.heappop(self.events)[2]
            if event is None and self.free:
                event = Lost(self.random.choice(sorted(self.free)), "killed")
            if event is not None:
                found.append(event)
        return found

    def happens(self, event: Event) -> bool:
        """Whether it does: a worker that is gone does nothing more."""
        if event.worker not in self.free:
            return False
        if isinstance(event, Lost):
            del self.free[event.worker]
        elif isinstance(event, Finished):
            self.under_way[event.worker].discard(event.outcome.number)
        return True
