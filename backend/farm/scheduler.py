"""Who draws which picture next, on workers that may die, hang or be slow at any moment. Knows nothing of Ray.

Nothing is lost: a picture that a worker had is given to another. A picture that fails, or ends its worker, three times is
given up, and the others are drawn. A picture may be drawn twice: it is a pure function of the job, and its file appears whole.
"""

from __future__ import annotations

import bisect
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from backend.farm.worker import Drawn, Failed, Identity
from models.errors import StyleRigError


@dataclass(frozen=True)
class Policy:
    tries: int = 3  # of a picture
    ahead: int = 2  # pictures that a worker has at once, so that it need not wait for the driver
    straggler: float = 3.0  # times the median: then another worker draws the picture too
    shortest: float = 10.0  # seconds; nothing is a straggler before
    longest: float = 1800.0  # seconds; a worker that takes longer for a picture hangs, and is ended
    patience: float = 120.0  # seconds for all workers to be ready; then those that are begin
    look: float = 1.0  # seconds between two looks at what is late
    dead_starts: int = 5  # workers in a row that are lost before they are ready: it will not get better


@dataclass(frozen=True)
class Ready:
    """A worker has loaded its rig and read the job; or it cannot, and says why."""

    worker: int
    answer: Identity | StyleRigError


@dataclass(frozen=True)
class Finished:
    worker: int
    outcome: Drawn | Failed


@dataclass(frozen=True)
class Lost:
    """A worker is gone, with all that it was given."""

    worker: int
    reason: str


Event = Ready | Finished | Lost


class Crew(Protocol):
    """The workers, by numbers that are never used again."""

    def start(self) -> int:
        """Begin a worker; its Ready or Lost will come."""

    def give(self, worker: int, number: int) -> None:
        """Add a picture to those that a worker draws one after another."""

    def end(self, worker: int) -> None:
        """End a worker at once; no event of it comes any more."""

    def wait(self, seconds: float) -> Sequence[Event]:
        """What has happened, as soon as anything has, at the latest after ``seconds``."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""


@dataclass
class Flight:
    """A picture that a worker has."""

    number: int
    since: float


class Scheduler:
    """Has all ``numbers`` drawn by ``size`` workers, each of which is ``expected``; ``take`` gets one outcome for each number."""

    def __init__(
        self,
        crew: Crew,
        numbers: Sequence[int],
        size: int,
        expected: Identity,
        take: Callable[[Drawn | Failed], None],
        notice: Callable[[str], None],
        policy: Policy | None = None,
    ):
        self.crew, self.size, self.expected = crew, size, expected
        self.take, self.notice, self.policy = take, notice, policy or Policy()
        self.waiting = deque(numbers)
        self.left = set(numbers)  # neither drawn nor given up
        self.tries: Counter[int] = Counter()
        self.starting: set[int] = set()
        self.workers: dict[int, list[Flight]] = {}  # those that are ready, and what they have, oldest first
        self.copied: set[int] = set()
        self.times: list[float] = []  # sorted seconds of pictures
        self.drawn = self.dead_starts = 0
        self.began = crew.now()
        self.first_given = False

    def run(self) -> None:
        """Raises StyleRigError when a worker must not or cannot draw this job, and when no worker stays.

        Once a picture is drawn, nothing is raised: all that are left fail of it.
        """
        try:
            self.draw_all()
        except StyleRigError as error:
            if not self.drawn:
                raise
            for number in sorted(self.left):
                self.settled(Failed(number, error.message, error.hint, error.code, ""))

    def draw_all(self) -> None:
        while self.left:
            self.fill_up()
            self.give()
            for event in self.crew.wait(self.policy.look):
                self.settle(event)
            self.end_hanging()

    def fill_up(self) -> None:
        while len(self.workers) + len(self.starting) < min(self.size, len(self.left)):
            self.starting.add(self.crew.start())

    def give(self) -> None:
        """Give every worker something to draw, the second picture only when each has a first."""
        if not self.may_begin():
            return
        ahead = self.policy.ahead if len(self.waiting) > 2 * len(self.workers) else 1
        for most in range(1, ahead + 1):
            for worker in [worker for worker, flights in self.workers.items() if len(flights) < most]:
                if number := self.next_number():
                    self.hand(worker, number)
        if not self.waiting:
            self.copy_stragglers()

    def may_begin(self) -> bool:
        """Whether all workers were looked at, or there was time enough to: a farm that does not fit is refused before any picture."""
        late = self.crew.now() - self.began > self.policy.patience
        self.first_given = self.first_given or (bool(self.workers) and (not self.starting or late))
        return self.first_given

    def next_number(self) -> int | None:
        while self.waiting:
            number = self.waiting.popleft()
            if number in self.left:  # a copy may have been drawn meanwhile
                return number
        return None

    def hand(self, worker: int, number: int) -> None:
        self.workers[worker].append(Flight(number, self.crew.now()))
        self.crew.give(worker, number)

    def copy_stragglers(self) -> None:
        """Idle workers draw what takes others too long; who is first is taken."""
        idle = [worker for worker, flights in self.workers.items() if not flights]
        for worker, number in zip(idle, self.stragglers(), strict=False):
            self.copied.add(number)
            self.hand(worker, number)

    def stragglers(self) -> Iterator[int]:
        if not self.times:
            return
        limit = max(self.policy.shortest, self.policy.straggler * self.times[len(self.times) // 2])
        for flight in self.flights():
            if self.crew.now() - flight.since > limit and flight.number in self.left - self.copied:
                yield flight.number

    def flights(self) -> list[Flight]:
        return [flight for flights in self.workers.values() for flight in flights]

    def settle(self, event: Event) -> None:
        if isinstance(event, Ready):
            self.welcome(event)
        elif isinstance(event, Lost):
            self.bury(event)
        else:
            self.finish(event)

    def welcome(self, event: Ready) -> None:
        if isinstance(event.answer, StyleRigError):
            raise event.answer
        if wrong := event.answer.differences(self.expected):
            raise StyleRigError(
                f"A worker is not like this program: its {', '.join(wrong)}.",
                "Install the same version of StyleRig, with the same packages and weights, on every machine.",
                code="mixed_farm",
            )
        self.dead_starts = 0
        self.starting.discard(event.worker)
        self.workers[event.worker] = []

    def finish(self, event: Finished) -> None:
        number, flights = event.outcome.number, self.workers[event.worker]
        flights[:] = [flight for flight in flights if flight.number != number]
        if flights:
            flights[0].since = self.crew.now()  # only now is it drawn
        if number not in self.left:
            return
        if isinstance(event.outcome, Failed):
            self.again(event.outcome)
            return
        if not event.outcome.kept:
            bisect.insort(self.times, event.outcome.seconds)
        self.settled(event.outcome)

    def again(self, failed: Failed) -> None:
        """Another try for a picture, if it may have one."""
        self.tries[failed.number] += 1
        if self.tries[failed.number] >= self.policy.tries:
            self.settled(failed)
        else:
            self.put_back(failed.number)

    def settled(self, outcome: Drawn | Failed) -> None:
        self.drawn += isinstance(outcome, Drawn)
        self.left.discard(outcome.number)
        self.take(outcome)

    def put_back(self, number: int) -> None:
        if number in self.left and all(flight.number != number for flight in self.flights()):
            self.copied.discard(number)
            self.waiting.appendleft(number)

    def bury(self, event: Lost) -> None:
        """The picture that the worker was drawing may be what ended it; those behind it only waited."""
        flights = self.workers.pop(event.worker, [])
        if event.worker in self.starting:
            self.starting.discard(event.worker)
            self.dead_starts += 1
        if self.dead_starts >= self.policy.dead_starts:
            raise StyleRigError(f"No worker stays: {event.reason}", "Look at the cluster's logs, and at its memory.", code="no_workers")
        self.notice(f"A worker was lost: {event.reason}")
        for flight in flights[:0:-1]:
            self.put_back(flight.number)
        if flights and flights[0].number in self.left:
            hint = "Look at the cluster's logs: memory may have run out. A smaller size or fewer passes need less."
            self.again(Failed(flights[0].number, f"It ended its worker: {event.reason}", hint, "worker_lost", ""))

    def end_hanging(self) -> None:
        now = self.crew.now()
        for worker, flights in list(self.workers.items()):
            if flights and now - flights[0].since > self.policy.longest:
                self.crew.end(worker)
                self.bury(Lost(worker, f"it drew one picture for more than {self.policy.longest:.0f} s"))
