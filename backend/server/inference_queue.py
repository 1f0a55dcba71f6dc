"""Which request is drawn next. Pure: no threads, no clock, no event loop.

A live view goes before a batch, and of a live view only the newest request waits. Clients that want batches
take turns, and where there is no more room, the one that asks for most gives way.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

MAX_QUEUED = 64  # live views, and requests that belong to none
LIVE_IN_A_ROW = 4  # while a batch waits: after these it has its turn


@dataclass(eq=False)
class Ticket:
    """A request that waits for its turn."""

    stream: str = ""  # the live view that it belongs to, if any
    client: str = ""
    turn: Any = None  # whatever its owner wakes it with


class InferenceQueue:
    """The tickets that wait."""

    def __init__(self, most: int = MAX_QUEUED):
        self.most = most
        self.live: dict[str, Ticket] = {}  # stream -> its newest ticket, the stream that waited longest first
        self.batch: dict[str, deque[Ticket]] = {}  # client -> its tickets, the client whose turn it is first
        self.live_in_a_row = 0

    def __len__(self) -> int:
        return len(self.live) + self.batch_length

    @property
    def batch_length(self) -> int:
        return sum(map(len, self.batch.values()))

    def put(self, ticket: Ticket) -> Ticket | None:
        """Let ``ticket`` wait. Returns the one that waits no more for it, if any: maybe ``ticket`` itself."""
        return self.put_live(ticket) if ticket.stream else self.put_batch(ticket)

    def put_live(self, ticket: Ticket) -> Ticket | None:
        older = self.live.get(ticket.stream)
        if older is None and len(self.live) >= self.most:
            return ticket
        self.live[ticket.stream] = ticket  # in the older one's place
        return older

    def put_batch(self, ticket: Ticket) -> Ticket | None:
        loser = None
        if self.batch_length >= self.most:
            largest = max(self.batch.values(), key=len)
            if len(largest) <= len(self.batch.get(ticket.client, ())) + 1:
                return ticket
            loser = largest.pop()
        self.batch.setdefault(ticket.client, deque()).append(ticket)
        return loser

    def take(self) -> Ticket:
        """The ticket whose turn it is, which waits no more. There has to be one."""
        if self.live and (not self.batch or self.live_in_a_row < LIVE_IN_A_ROW):
            self.live_in_a_row = self.live_in_a_row + 1 if self.batch else 0
            return self.live.pop(next(iter(self.live)))
        self.live_in_a_row = 0
        client = next(iter(self.batch))
        tickets = self.batch.pop(client)
        ticket = tickets.popleft()
        if tickets:
            self.batch[client] = tickets  # behind the others
        return ticket

    def discard(self, ticket: Ticket) -> None:
        """Let ``ticket`` wait no more; nothing happens where it does not."""
        if self.live.get(ticket.stream) is ticket:
            del self.live[ticket.stream]
        tickets = self.batch.get(ticket.client)
        if tickets and ticket in tickets:
            tickets.remove(ticket)
            if not tickets:
                del self.batch[ticket.client]
