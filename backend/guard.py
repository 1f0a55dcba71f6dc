"""What every request must pass before the service sees it: Host, token, size."""

from __future__ import annotations

import hmac
import http
import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 1 << 20  # bytes
MOST_DISCARDED = 64 << 20  # bytes read and dropped so that the sender gets to read the refusal


def error_body(code: str, message: str, hint: str) -> dict:
    return {"error": {"code": code, "message": message, "hint": hint}}


class Guard:
    """ASGI middleware. Refuses what is not meant for this server (a page in a browser that had its
    name resolved to 127.0.0.1), what does not know the token, and bodies over ``LARGEST_BODY``."""

    def __init__(self, app: ASGIApp, token: str):
        self.app = app
        self.authorization = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        refusal = self.refusal(headers, scope["server"][1])
        body = None
        if not refusal:
            body = await bounded_body(receive)
            if body is None:
                refusal = (413, "too_large", f"The request is over {LARGEST_BODY} bytes.", "Send less.")
        if refusal:
            await refuse(send, *refusal)
        else:
            await self.app(scope, replay(body, receive), send)

    def refusal(self, headers: dict[bytes, bytes], port: int) -> tuple[int, str, str, str] | None:
        """Status, code, message and hint if the request is to be refused by its headers."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if host not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            return 403, "wrong_host", f"The Host header is {host[:100]!r}.", f"Call http://127.0.0.1:{port}."
        if not hmac.compare_digest(headers.get(b"authorization", b""), self.authorization):
            hint = "Send the Authorization header: Bearer, then the token this backend was started with."
            return 401, "wrong_token", "The token is missing or wrong.", hint
        return None


async def bounded_body(receive: Receive) -> bytes | None:
    """The whole body, or None when it is over ``LARGEST_BODY`` (the rest is read and dropped)."""
    parts, size = [], 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size <= LARGEST_BODY:
            parts.append(part)
        if not message.get("more_body", False) or size > MOST_DISCARDED:
            return b"".join(parts) if size <= LARGEST_BODY else None


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


async def refuse(send: Send, status: int, code: str, message: str, hint: str) -> None:
    body = json.dumps(error_body(code, message, hint)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status == http.HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
