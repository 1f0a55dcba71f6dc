"""Connections that are bounded in time and number, whoever opens them: no token is known yet when one is accepted."""

from __future__ import annotations

import asyncio
from typing import cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 192  # fewer than a process may open files on any system; more than all requests that may wait
MAX_HEAD = 16 << 10  # bytes of a request's line and headers
HEAD_SECONDS = 10.0  # that a request's line and headers may take
STALL_SECONDS = 30.0  # that a client may read nothing of an answer


class BoundedProtocol(H11Protocol):
    """uvicorn's connection, ended when its client says nothing for too long or reads nothing.

    How long the body may take is for ``RequestGuard`` to say, how long a connection is kept between requests for uvicorn.
    """

    head: asyncio.TimerHandle | None = None  # runs while a request's head is awaited
    stall: asyncio.TimerHandle | None = None  # runs while the client has more to read than the system takes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.watch_head()
        if len(self.connections) > MAX_CONNECTIONS:
            silent = {connection: head.when() for connection in self.connections if (head := getattr(connection, "head", None))}
            min(silent, key=lambda connection: silent[connection]).transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.watch_head()

    def watch_head(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering:
            self.head = stopped(self.head)
        elif self.head is None:
            self.head = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # an answer has begun, or may have no content, as that to HEAD
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.watch_reader(None)

    def watch_reader(self, left: int | None) -> None:
        """End the connection if as many bytes wait as the last time, ``left``."""
        waiting = self.transport.get_write_buffer_size()
        if left is not None and waiting >= left:
            self.transport.abort()
        else:
            self.stall = self.loop.call_later(STALL_SECONDS, self.watch_reader, waiting)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.stall = stopped(self.stall)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.head, self.stall = stopped(self.head), stopped(self.stall)


def stopped(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """No timer any more, once ``timer`` is cancelled."""
    if timer is not None:
        timer.cancel()
    return None
