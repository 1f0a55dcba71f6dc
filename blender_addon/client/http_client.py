"""The HTTP client of the backend's /v1. Standard library and numpy only; safe in any thread."""

from __future__ import annotations

import base64
import http.client
import io
import itertools
import json
import secrets
import socket
import threading
import traceback
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import Text, UserError
from ..protocol import frames
from . import offsets
from .backend_messages import backend_error
from .portrait import text_of

HOST = "127.0.0.1"
POLL_SECONDS = 0.25  # how often a call that waits looks whether it was given up
POLLS_PER_CHECK = 20  # looks between two questions whether the backend still answers, on another connection
CHECK_SECONDS = 5.0  # that the answer to this may take
MAX_SILENT_CHECKS = 12  # such questions in a row without an answer, after which it hangs: one to two minutes


class Client:
    """Requests to one running backend, whose log is ``log``.

    A call waits as long as the backend lives and answers others: a large picture takes minutes on a
    processor. ``cancelled``, where a call takes it, ends the wait from another thread. Threads can share a
    client: each call has a connection to itself, and it is kept for the next one. Every method raises
    UserError and nothing else for what can go wrong outside.
    """

    def __init__(self, port: int, token: str, log: Path | None = None):
        self.port = port
        self.token = token
        self.log = log
        self.name = secrets.token_hex(8)  # clients of one backend take turns
        self._idle: list[http.client.HTTPConnection] = []

    def close(self) -> None:
        """Close the connections that no call is using."""
        while (connection := self._kept()) is not None:
            connection.close()

    def health(self) -> dict:
        """{"status", "version", "device", "models"} of the backend."""
        return self._json("GET", "/v1/health")

    def new_portrait(self, seed: int, truncation: float = 0.7, model: str | None = None) -> dict:
        """A portrait by value: w (base64) and its rig parameters; ``model`` None is the backend's first."""
        request = {"model": model, "seed": int(seed), "truncation": float(truncation)}
        return self._json("POST", "/v1/portraits", request)

    def portrait_of_latent(self, portrait: dict, w: str, parameters: dict | None = None) -> dict:
        """A portrait like ``portrait`` with another latent (base64): its parameters are read from it, or are these."""
        request = {name: portrait[name] for name in ("model", "weights_hash", "seed", "truncation", "w_shape")}
        request |= {"w": w, "parameters": parameters}
        return self._json("POST", "/v1/portraits", request)

    def models(self) -> list[dict]:
        """What may be asked of each of the backend's models."""
        return self._json("GET", "/v1/models")

    def directions_of_file(self, portrait: dict, name: str, content: bytes) -> dict:
        """A directions file's contents as further attributes for ``portrait``."""
        model = {key: portrait[key] for key in ("model", "weights_hash")}
        return self._json("POST", "/v1/directions", model | {"name": name[-255:], "file": base64.b64encode(content).decode()})

    def sefa_directions(self, portrait: dict, layers: str, count: int, distance: float) -> dict:
        """SeFa's directions in the weights that drew ``portrait``, as further attributes for it."""
        model = {key: portrait[key] for key in ("model", "weights_hash")}
        return self._json("POST", "/v1/directions/sefa", model | {"layers": layers, "count": count, "distance": distance})

    def looks(self) -> list[dict]:
        """The looks that the backend has: name, sha256, kind, labels, domains, title of each."""
        return self._json("GET", "/v1/looks")

    def look_style(self, look: dict, pixels: np.ndarray) -> str:
        """The style of a reference picture, as ``picture_request`` takes it, for a look, in base64."""
        return self._json("POST", "/v1/looks/style", picture_request(look, pixels))["style"]

    def look_picture(self, look: dict, pixels: np.ndarray) -> np.ndarray:
        """A picture, as ``picture_request`` takes it, with a look on it: float32 (H, W, 4)."""
        body, headers = self._call("POST", "/v1/looks/pictures", picture_request(look, pixels))
        return split_passes(body, headers)[""]

    def begin_photos(self, request: dict) -> str:
        """Begin a portrait of photos; the name to ask for it by."""
        return str(self._json("POST", "/v1/portraits/photos", request)["job"])

    def photo_state(self, job: str) -> dict:
        """How far it is: stage, done, preview, ended, portrait, error."""
        return self._json("GET", f"/v1/portraits/photos/{job}")

    def cancel_photos(self, job: str) -> None:
        """End it."""
        self._json("DELETE", f"/v1/portraits/photos/{job}")

    def mesh(self, portrait: dict) -> dict[str, np.ndarray]:
        """Arrays of the portrait's mesh in model space (y up, cm); names and shapes as in /v1."""
        body, _ = self._call("POST", "/v1/portraits/mesh", {"portrait": portrait})
        return read_arrays(body)

    def frame(
        self,
        portrait: dict,
        controls: dict,
        size: int | None = None,
        passes: tuple[str, ...] | list[str] = (),
        cancelled: threading.Event | None = None,
        live: bool = False,
        precision: str = "exact",
    ) -> dict[str, np.ndarray]:
        """Passes of one frame: name -> float32 (H, W, C), row 0 at the top, always with "Combined".

        Combined is scene-linear with premultiplied alpha. ``size`` None is the generator's own. A ``live``
        one goes before all that wait and are not. ``precision`` "fast" is a preview, which a small picture is for less.
        "placement" (6,) says where the head stands in it: yaw, pitch, roll in radians, x, y, z in
        cm, model frame.
        """
        request = frame_request(portrait, controls, size, passes, "raw")
        request["output"]["precision"] = precision
        stream = {frames.SUPERSEDE_HEADER: f"live view of {self.name}"} if live else {}
        body, headers = self._call("POST", "/v1/frames", request, cancelled, stream)
        return split_passes(body, headers) | read_placement(headers)

    def frame_png(self, portrait: dict, controls: dict, size: int | None = None) -> bytes:
        """One frame as the bytes of a PNG: sRGB, straight alpha."""
        return self._call("POST", "/v1/frames", frame_request(portrait, controls, size, (), "png"))[0]

    def _json(self, method: str, path: str, request: dict | None = None) -> Any:
        body, _ = self._call(method, path, request)
        try:
            return json.loads(body)
        except ValueError as error:
            raise bad_answer(Text("{path} did not answer with JSON", path=path)) from error

    def _call(
        self,
        method: str,
        path: str,
        request: dict | None = None,
        cancelled: threading.Event | None = None,
        more_headers: dict[str, str] | None = None,
    ) -> tuple[bytes, dict[str, str]]:
        """Body and headers (names in lower case) of the answer to one request; one that lacks a portrait's file is sent again with it."""
        try:
            return self._ask(method, path, request, cancelled, more_headers)
        except UserError as error:
            again = offsets.with_file(request) if error.code == offsets.MISSING else None
            if again is None:
                raise
        return self._ask(method, path, again, cancelled, more_headers)

    def _ask(
        self,
        method: str,
        path: str,
        request: dict | None,
        cancelled: threading.Event | None,
        more_headers: dict[str, str] | None,
    ) -> tuple[bytes, dict[str, str]]:
        """As ``_call``, once."""
        headers = {"Authorization": f"Bearer {self.token}", frames.CLIENT_HEADER: self.name, **(more_headers or {})}
        payload = None
        if request is not None:
            payload = text_of(request).encode()
            headers["Content-Type"] = "application/json"
        try:
            response, body = self._answer((method, path, payload, headers), cancelled)
        except TimeoutError as error:
            raise UserError(
                "timeout", "The backend runs, but answers nothing any more.", "Stop and start it. Its log: {log}", log=self.log
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise UserError(
                "backend_gone",
                "The backend is not running any more.",
                "Start it again. Its log may say why it ended; if not, the system ended it, mostly for want of memory: {log}",
                log=self.log,
            ) from error
        if response.status >= 400:
            raise error_from(response.status, body, self.log)
        return body, {name.lower(): value for name, value in response.getheaders()}

    def _answer(self, request: tuple, cancelled: threading.Event | None) -> tuple[http.client.HTTPResponse, bytes]:
        """Response and body of a request, which may go out twice: a connection that was kept may have ended meanwhile."""
        connection = self._kept()
        if connection is not None:
            try:
                return self._exchange(connection, request, cancelled)
            except (ConnectionError, http.client.HTTPException):
                pass
        return self._exchange(http.client.HTTPConnection(HOST, self.port), request, cancelled)

    def _exchange(
        self, connection: http.client.HTTPConnection, request: tuple, cancelled: threading.Event | None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Response and body of a request on this connection, which is kept or, if anything goes wrong, closed."""
        try:
            connection.timeout = CHECK_SECONDS
            connection.request(*request)
            self._wait(connection.sock, cancelled)
            connection.sock.settimeout(MAX_SILENT_CHECKS * CHECK_SECONDS)  # the answer is under way
            response = connection.getresponse()
            body = response.read()
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:  # the backend may have closed it
            self._idle.append(connection)
        return response, body

    def _kept(self) -> http.client.HTTPConnection | None:
        """A connection that is left from an earlier call."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _wait(self, answer: socket.socket, cancelled: threading.Event | None) -> None:
        """Until the answer begins or the connection ends, which the backend's death makes it do at once.

        Raises TimeoutError when the backend is there but answers nobody.
        """
        answer.settimeout(POLL_SECONDS)
        silent = 0
        for look in itertools.count(1):
            try:
                answer.recv(1, socket.MSG_PEEK)
                return
            except TimeoutError:
                pass
            if cancelled is not None and cancelled.is_set():
                raise UserError("cancelled", "Nobody waits for this answer any more.")
            if look % POLLS_PER_CHECK == 0:
                silent = 0 if self._answers() else silent + 1
                if silent >= MAX_SILENT_CHECKS:
                    raise TimeoutError

    def _answers(self) -> bool:
        """Whether the backend answers a question that it needs no time for."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=CHECK_SECONDS)
        try:
            connection.request("GET", "/v1/health", headers={"Authorization": f"Bearer {self.token}"})
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def frame_request(portrait: dict, controls: dict, size: int | None, passes: Iterable[str], form: str) -> dict:
    """The body of POST /v1/frames."""
    output = {"size": size, "passes": list(passes), "format": form}
    return {"portrait": portrait, "controls": controls, "output": output}


def picture_request(look: dict, pixels: np.ndarray) -> dict:
    """A look and a picture (H, W, 4), row 0 at the top: uint8 in sRGB with straight alpha, or float16 scene-linear."""
    kind = "u1" if pixels.dtype == np.uint8 else "<f2"
    data = base64.b64encode(np.ascontiguousarray(pixels, kind).tobytes()).decode()
    return {"look": look, "picture": {"shape": list(pixels.shape[:2]), "type": kind, "data": data}}


def error_from(status: int, body: bytes, log: Path | None) -> UserError:
    """The backend's own words for an error, or plain ones when it gave none."""
    try:
        error = backend_error(json.loads(body)["error"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return UserError("http_error", "The backend answered with HTTP status {status}.", "Its log says why: {log}", status=status, log=log)
    if status == http.HTTPStatus.UNAUTHORIZED:  # the backend's own hint is for who writes a client
        hint = Text("This backend was not started here: stop it, then start it in the add-on's preferences.")
        return UserError("wrong_token", error.message_text, hint)
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        hint = Text("This is a fault of StyleRig. Where it happened is in the backend's log: {log}", log=log)
        return UserError(error.code, error.message_text, hint)
    return error


def bad_answer(what: Text) -> UserError:
    return UserError(
        "bad_answer",
        "The backend's answer cannot be read: {what}.",
        "Backend and extension must be of one version: restart Blender; if that does not help, install the extension again.",
        what=what,
    )


def fault(error: Exception) -> UserError:
    """For an exception that nobody foresaw: where it came from goes to the console."""
    traceback.print_exception(error)
    return UserError(
        "internal",
        "{kind}: {reason}.",
        "This is a fault of StyleRig. Where it happened is in Blender's system console.",
        kind=type(error).__name__,
        reason=error,
    )


def read_arrays(body: bytes) -> dict[str, np.ndarray]:
    """The arrays of an .npz file in memory; objects in it are refused."""
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise bad_answer(Text("not a set of arrays")) from error


def split_passes(body: bytes, headers: dict[str, str]) -> dict[str, np.ndarray]:
    """Raw float32 pixels (H, W, C) cut into passes by the channel names of the headers."""
    try:
        return frames.passes_from_array(body, headers)
    except (KeyError, ValueError, TypeError) as error:
        raise bad_answer(Text("pixels and headers do not agree")) from error


def read_placement(headers: dict[str, str]) -> dict[str, np.ndarray]:
    """{"placement": (6,)} from the header. Raises UserError."""
    try:
        return {"placement": frames.placement_from_header(headers)}
    except KeyError as error:
        raise bad_answer(Text("it does not say where the head stands")) from error
    except ValueError as error:
        raise bad_answer(Text("the head's placement is not six numbers")) from error
