"""What every request must pass before the service sees it: Host, Origin, token, a body that is whole in time and not too large."""

from __future__ import annotations

import asyncio
import hmac
import http
import json
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 1 << 20  # bytes
LARGE_BODIES = {"/v1/looks/pictures": 128 << 20, "/v1/portraits/photos": 60 << 20}  # of requests with pictures in them
MAX_DISCARDED = 64 << 20  # bytes read and dropped so that the sender gets to read the refusal
BODY_SECONDS = 20.0  # that a body may take


def error_body(code: str, message: str, hint: str) -> dict:
    return {"error": {"code": code, "message": message, "hint": hint}}


class Refused(NamedTuple):
    """Why a request is not answered. ``close``: nor is any other of its connection, which is not read any further."""

    status: int
    code: str
    message: str
    hint: str
    close: bool = False


INCOMPLETE = Refused(408, "incomplete", f"The request was not whole after {BODY_SECONDS:g} s.", "Send all of it at once.", close=True)


class RequestGuard:
    """ASGI middleware. Refuses what is not meant for this server (a page in a browser that had its
    name resolved to 127.0.0.1), what does not know the token, and bodies that are too large or too slow."""

    def __init__(self, app: ASGIApp, token: str):
        self.app = app
        self.authorization = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        refused = self.refusal(scope["headers"], scope["server"][1])
        body = await read_body(receive, not refused, LARGE_BODIES.get(scope["path"], MAX_BODY))
        if isinstance(body, Refused):
            await refuse(send, refused._replace(close=True) if refused else body)
        elif refused:
            await refuse(send, refused)
        else:
            await self.app(scope, replay(body, receive), send)

    def refusal(self, headers: list[tuple[bytes, bytes]], port: int) -> Refused | None:
        """Why the request is refused by its headers, if it is."""
        named = {name: value.decode("latin-1") for name, value in headers}
        names = (f"127.0.0.1:{port}", f"localhost:{port}")
        host = named.get(b"host", "").lower()
        if host not in names:
            return Refused(403, "wrong_host", f"The Host header is {host[:100]!r}.", f"Call http://127.0.0.1:{port}.")
        for origin in (value.decode("latin-1") for name, value in headers if name == b"origin"):
            if origin.lower() not in (f"http://{name}" for name in names):
                return Refused(
                    403, "foreign_origin", f"A page of {origin[:100]!r} asked for this.", "Call from a program, not from a page."
                )
        if not hmac.compare_digest(named.get(b"authorization", "").encode("latin-1"), self.authorization):
            hint = "Send the Authorization header: Bearer, then the token this backend was started with."
            return Refused(401, "wrong_token", "The token is missing or wrong.", hint)
        return None


def too_large(most: int) -> Refused:
    return Refused(413, "too_large", f"The request is over {most} bytes.", "Send less.", close=True)


async def read_body(receive: Receive, keep: bool, most: int = MAX_BODY) -> bytes | Refused:
    """The whole body of at most so many bytes, empty unless it is to be kept; or why there is none."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await bounded_body(receive, keep, most)
    except TimeoutError:
        return INCOMPLETE


async def bounded_body(receive: Receive, keep: bool, most: int) -> bytes | Refused:
    """As ``read_body``, however long it takes. What is over ``most`` bytes is read and dropped."""
    body, size = bytearray(), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return INCOMPLETE
        part = message.get("body", b"")
        size += len(part)
        if keep and size <= most:
            body += part
        if not message.get("more_body", False) or size > most + MAX_DISCARDED:
            return too_large(most) if size > most else bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives the body once, then what the real one gives (a disconnect)."""
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def refuse(send: Send, refused: Refused) -> None:
    body = json.dumps(error_body(refused.code, refused.message, refused.hint)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if refused.status == http.HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    if refused.close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
