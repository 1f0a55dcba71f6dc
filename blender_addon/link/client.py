"""The HTTP client of the backend's /v1. Standard library and numpy only; safe in any thread."""

from __future__ import annotations

import http.client
import io
import json
import zipfile

import numpy as np

HOST = "127.0.0.1"


class BackendError(Exception):
    """Something is wrong with the backend or the request: what (message), what to do (hint), a code."""

    def __init__(self, code: str, message: str, hint: str = ""):
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class Client:
    """Requests to one running backend.

    Each call opens its own connection, so that threads can share a client: on the loopback that
    costs 0.2 ms. Every method raises BackendError and nothing else for what can go wrong outside.
    """

    def __init__(self, port: int, token: str, timeout: float = 120.0):
        self.port = port
        self.token = token
        self.timeout = timeout  # seconds without an answer

    def health(self) -> dict:
        """{"status", "version", "device", "models"} of the backend."""
        return self._json("GET", "/v1/health")

    def new_portrait(self, seed: int, truncation: float = 0.7, model: str = "studio") -> dict:
        """A portrait by value: w (base64) and the rig parameters that were read from it."""
        request = {"model": model, "seed": int(seed), "truncation": float(truncation)}
        return self._json("POST", "/v1/portraits", request)

    def portrait_of_latent(self, portrait: dict, w: str) -> dict:
        """A portrait like ``portrait`` with another latent (base64): its parameters are read from it."""
        request = {name: portrait[name] for name in ("model", "seed", "truncation", "w_shape")} | {"w": w}
        return self._json("POST", "/v1/portraits", request)

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
    ) -> dict[str, np.ndarray]:
        """Passes of one frame: name -> float32 (H, W, C), row 0 at the top, always with "Combined".

        Combined is scene-linear with premultiplied alpha. ``size`` None is the generator's own.
        "placement" (6,) says where the head stands in it: yaw, pitch, roll in radians, x, y, z in
        cm, model frame.
        """
        body, headers = self._call("POST", "/v1/frames", frame_request(portrait, controls, size, passes, "raw"))
        return split_passes(body, headers) | read_placement(headers)

    def frame_png(self, portrait: dict, controls: dict, size: int | None = None) -> bytes:
        """One frame as the bytes of a PNG: sRGB, straight alpha."""
        return self._call("POST", "/v1/frames", frame_request(portrait, controls, size, (), "png"))[0]

    def _json(self, method: str, path: str, request: dict | None = None) -> dict:
        body, _ = self._call(method, path, request)
        try:
            return json.loads(body)
        except ValueError as error:
            raise bad_answer(f"{path} did not answer with JSON") from error

    def _call(self, method: str, path: str, request: dict | None = None) -> tuple[bytes, dict[str, str]]:
        """Body and headers (names in lower case) of the answer to one request."""
        headers = {"Authorization": f"Bearer {self.token}"}
        payload = None
        if request is not None:
            payload = json.dumps(request).encode()
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(HOST, self.port, timeout=self.timeout)
        try:
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            body = response.read()
        except TimeoutError as error:
            raise BackendError(
                "timeout", f"The backend did not answer within {self.timeout:g} s.", "Try a smaller size, or stop and start the backend."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise BackendError(
                "backend_gone", "The backend is not running any more.", "Start it again; its log says why it ended."
            ) from error
        finally:
            connection.close()
        if response.status >= 400:
            raise error_from(response.status, body)
        return body, {name.lower(): value for name, value in response.getheaders()}


def frame_request(portrait: dict, controls: dict, size: int | None, passes, form: str) -> dict:
    """The body of POST /v1/frames."""
    output = {"size": size, "passes": list(passes), "format": form}
    return {"portrait": portrait, "controls": controls, "output": output}


def error_from(status: int, body: bytes) -> BackendError:
    """The backend's own words for an error, or plain ones when it gave none."""
    try:
        error = json.loads(body)["error"]
        code, message, hint = str(error["code"]), str(error["message"]), str(error.get("hint", ""))
    except (ValueError, LookupError, TypeError, AttributeError):
        code, message, hint = "http_error", f"The backend answered with HTTP status {status}.", "Its log says why."
    if status == 401:  # the backend's own hint is for who writes a client
        code = "wrong_token"
        hint = "This backend was not started here: stop it, then start it in the add-on's preferences."
    return BackendError(code, message, hint)


def bad_answer(what: str) -> BackendError:
    return BackendError("bad_answer", f"The backend's answer cannot be read: {what}.", "Backend and add-on must be of one version.")


def read_arrays(body: bytes) -> dict[str, np.ndarray]:
    """The arrays of an .npz file in memory; objects in it are refused."""
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise bad_answer("not a set of arrays") from error


def split_passes(body: bytes, headers: dict[str, str]) -> dict[str, np.ndarray]:
    """Raw float32 pixels (H, W, C) cut into passes by the channel names of the headers."""
    try:
        shape = tuple(int(number) for number in headers["x-array-shape"].split(","))
        channels = [name.strip() for name in headers["x-array-channels"].split(",")]
        pixels = np.frombuffer(body, dtype=headers["x-array-type"]).reshape(shape)
        assert len(shape) == 3 and shape[2] == len(channels)
    except (KeyError, ValueError, TypeError, AssertionError) as error:
        raise bad_answer("pixels and headers do not agree") from error
    places: dict[str, list[int]] = {}  # a pass's channels come one after another
    for index, channel in enumerate(channels):
        places.setdefault(channel.rpartition(".")[0], []).append(index)
    parts = {name: pixels[..., indices[0] : indices[-1] + 1] for name, indices in places.items()}
    return {name: np.ascontiguousarray(part, dtype=np.float32) for name, part in parts.items()}


def read_placement(headers: dict[str, str]) -> dict[str, np.ndarray]:
    """{"placement": (6,)} from the header. Raises BackendError."""
    try:
        numbers = [float(number) for number in headers["x-stylerig-placement"].split(",")]
        return {"placement": np.array(numbers).reshape(6)}
    except KeyError as error:
        raise bad_answer("it does not say where the head stands") from error
    except ValueError as error:
        raise bad_answer("the head's placement is not six numbers") from error
