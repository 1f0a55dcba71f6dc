"""The HTTP service under ``/v1``. It keeps no state but photographs at work: the client sends the portrait with each request."""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from backend import __version__
from backend.files import images, recipe
from backend.protocol.frames import (
    ARRAY_CHANNELS_HEADER,
    ARRAY_SHAPE_HEADER,
    ARRAY_TYPE,
    ARRAY_TYPE_HEADER,
    CLIENT_HEADER,
    MAX_SIZE,
    MIN_SIZE,
    PASSES,
    PLACEMENT_HEADER,
    SUPERSEDE_HEADER,
    array_headers,
    placement_header,
)
from backend.server import looks as looks_over_http
from backend.server import schema, serialization
from backend.server.errors import status_of
from backend.server.inference import InferenceWorker, RigLibrary, out_of_memory, render_frame
from backend.server.inference_queue import Ticket
from backend.server.middleware import RequestGuard, error_body
from backend.server.photo_jobs import PhotoJobs
from models.errors import StyleRigError

if TYPE_CHECKING:
    from models.rigging import Rig

READ_THE_SCHEMA = "GET /v1/openapi.json says what is accepted."
StreamId = Annotated[str, Header(alias=SUPERSEDE_HEADER, max_length=64)]
ClientName = Annotated[str, Header(alias=CLIENT_HEADER, max_length=64)]
NPZ: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}, "description": "npz of the mesh's arrays"}}
FRAME_HEADERS = {
    ARRAY_SHAPE_HEADER: "H,W,C of a raw frame",
    ARRAY_TYPE_HEADER: f"numpy's name of its type: {ARRAY_TYPE}",
    ARRAY_CHANNELS_HEADER: "names of its channels, as in an EXR: Combined.R,…",
    PLACEMENT_HEADER: "yaw, pitch, roll in radians, x, y, z in cm of the head in the frame",
}
FRAME: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"image/png": {}, "application/octet-stream": {}},
        "description": "PNG, or float32 (H, W, C) that the headers describe",
        "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in FRAME_HEADERS.items()},
    }
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": schema.ErrorAnswer} for status in (400, 401, 403, 404, 405, 408, 409, 413, 422, 429, 500)
}


def create_app(library: RigLibrary, token: str) -> FastAPI:
    """The application. The library's default rig is loaded in the background when the server starts."""
    worker, jobs = InferenceWorker(), PhotoJobs(library)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(warm_up(library, worker))
        yield
        worker.close()
        jobs.close()
        warming.cancel()

    app = FastAPI(
        title="StyleRig backend",
        version=__version__,
        lifespan=lifespan,
        responses=ERRORS,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    add_error_handlers(app)
    add_routes(app, library, worker)
    add_look_routes(app, library, worker)
    add_photo_routes(app, jobs)
    app.add_middleware(RequestGuard, token=token)
    return app


async def warm_up(library: RigLibrary, worker: InferenceWorker) -> None:
    """Load the rig before the first request needs it; what is wrong is told by each request again."""
    with contextlib.suppress(StyleRigError):
        await worker.run(library.default.get)


def client_of(connection: Request, name: ClientName = "") -> str:
    """Whose turn a request takes: of the client that X-StyleRig-Client names, else of its connection."""
    return name or "{}:{}".format(*(connection.client or ("", 0)))


Client = Annotated[str, Depends(client_of)]


def add_routes(app: FastAPI, library: RigLibrary, worker: InferenceWorker) -> None:
    @app.get("/v1/health")
    async def health() -> schema.Health:
        """Answers at once, also while the model is loading or at work."""
        return state_of(library)

    @app.get("/v1/models")
    async def models(client: Client) -> list[schema.Model]:
        return [describe(await worker.run(lazy.get, Ticket(client=client))) for lazy in library.rigs.values()]

    @app.post("/v1/portraits")
    async def new_portrait(request: schema.LatentRequest, client: Client) -> schema.Portrait:
        def job() -> schema.Portrait:
            rig = library.of_weights(request.weights_hash, request.model)
            portrait = serialization.new_portrait(request, rig)
            return serialization.portrait_to_schema(portrait, rig)

        return await worker.run(job, Ticket(client=client))

    @app.post("/v1/portraits/mesh", response_class=Response, responses=NPZ)
    async def mesh(request: schema.MeshRequest, client: Client) -> Response:
        def job() -> bytes:
            rig = library.of_weights(request.portrait.weights_hash, request.portrait.model)
            portrait = serialization.portrait_from_schema(request.portrait, rig)
            return serialization.npz(serialization.portrait_mesh(portrait, rig.face))

        return Response(await worker.run(job, Ticket(client=client)), media_type="application/octet-stream")

    @app.post("/v1/directions")
    async def read_directions(request: schema.DirectionsRequest, client: Client) -> schema.Directions:
        """A directions file's contents, as a portrait carries them in ``directions``."""
        job = lambda: serialization.read_directions_file(request, library.of_weights(request.weights_hash, request.model))
        return await worker.run(job, Ticket(client=client))

    @app.post("/v1/directions/sefa")
    async def find_directions(request: schema.SefaRequest, client: Client) -> schema.Directions:
        """SeFa's directions in a model's weights, as a portrait carries them in ``directions``."""
        job = lambda: serialization.sefa_directions(request, library.of_weights(request.weights_hash, request.model))
        return await worker.run(job, Ticket(client=client))

    @app.post("/v1/frames", response_class=Response, responses=FRAME)
    async def frame(request: schema.FrameRequest, connection: Request, client: Client, stream: StreamId = "") -> Response:
        """A frame. Requests with X-StyleRig-Supersede are a live view's, which goes before all others, and of those
        that wait with one value of it, only the newest is made: the others answer 409 ``superseded``. Nothing is made
        for a client that went away before its turn."""
        ticket = Ticket(stream, client)
        watching = asyncio.create_task(watch(connection, worker, ticket))
        try:
            return await worker.run(lambda: frame_response(library, request), ticket)
        finally:
            watching.cancel()


def add_look_routes(app: FastAPI, library: RigLibrary, worker: InferenceWorker) -> None:
    @app.get("/v1/looks")
    async def looks(client: Client) -> list[schema.LookModel]:
        """The looks that controls may name."""
        return await worker.run(looks_over_http.looks_here, Ticket(client=client))

    @app.post("/v1/looks/style")
    async def look_style(request: schema.LookStyleRequest, client: Client) -> schema.LookStyleAnswer:
        """The style of a reference picture, as ``style`` of a look takes it."""
        return await worker.run(lambda: looks_over_http.style_of_reference(request, library.device), Ticket(client=client))

    @app.post("/v1/looks/pictures", response_class=Response, responses=FRAME)
    async def look_picture(request: schema.LookRequest, client: Client) -> Response:
        """A picture with a look on it, raw: float32 (H, W, 4), in sRGB with straight alpha or scene-linear, as it came."""

        def job() -> Response:
            pixels = looks_over_http.looked(request, library.device)
            headers = array_headers(pixels.shape, ["R", "G", "B", "A"])
            return Response(pixels.astype(ARRAY_TYPE).tobytes(), media_type="application/octet-stream", headers=headers)

        return await worker.run(job, Ticket(client=client))


def add_photo_routes(app: FastAPI, jobs: PhotoJobs) -> None:
    @app.post("/v1/portraits/photos")
    async def begin(request: schema.PhotoRequest) -> schema.JobBegun:
        """Begin a portrait of photographs, which takes from some seconds to minutes."""
        return schema.JobBegun(job=await asyncio.to_thread(jobs.begin, request))

    @app.get("/v1/portraits/photos/{job}")
    async def state(job: str) -> schema.PhotoState:
        """How far it is; answers at once."""
        return jobs.find(job).state()

    @app.delete("/v1/portraits/photos/{job}")
    async def cancel(job: str) -> schema.PhotoState:
        """End it at its next step."""
        found = jobs.find(job)
        found.cancelled.set()
        return found.state()


async def watch(connection: Request, worker: InferenceWorker, ticket: Ticket) -> None:
    """Take the ticket's place in the queue away when its client ends the connection."""
    while (await connection.receive())["type"] != "http.disconnect":
        pass
    worker.refuse(ticket, StyleRigError("The client went away.", "Nothing is wrong.", code="client_gone"))


def state_of(library: RigLibrary) -> schema.Health:
    """Whether the default rig is there; ``problem`` is the error of the last attempt to load it, or None."""
    problem = library.default.problem
    return schema.Health(
        status="ok",
        version=__version__,
        device=library.device,
        models=list(library.rigs),
        loaded=library.default.rig is not None,
        problem=schema.Problem(code=problem.code, message=problem.message, hint=problem.hint) if problem else None,
    )


def describe(rig: Rig) -> schema.Model:
    """What a client may ask of the rig."""
    return schema.Model(
        name=rig.name,
        weights_hash=rig.weights_hash,
        resolution=rig.generator.resolution,
        w_shape=[rig.generator.num_ws, rig.generator.w_dim],
        expressions=list(rig.face.expression_names),
        attributes=serialization.model_attributes(rig),
        identity=len(rig.face.identity),
        reflectance=len(rig.face.albedo),
        passes=list(PASSES),
        sizes=[MIN_SIZE, MAX_SIZE],
    )


def frame_response(library: RigLibrary, request: schema.FrameRequest) -> Response:
    """Draw the frame and encode it; runs on the worker's thread."""
    rig = library.of_weights(request.portrait.weights_hash, request.portrait.model)
    portrait = serialization.portrait_from_schema(request.portrait, rig)
    controls = serialization.controls_from_schema(request.controls, rig.face)
    output = request.output
    passes, precision = (output.passes, output.precision) if output.format == "raw" else ([], "exact")
    frame = render_frame(rig, portrait, controls, output.size, passes, precision)
    headers = placement_header(frame.placement)
    if output.format == "png":
        origin = recipe.origin(recipe.one_frame(request.portrait, request.controls, output.size, passes))
        return Response(images.png_bytes(frame, origin), media_type="image/png", headers=headers)
    array, channels = images.stacked(frame, passes)
    headers |= array_headers(array.shape, channels)
    return Response(array.tobytes(), media_type="application/octet-stream", headers=headers)


def add_error_handlers(app: FastAPI) -> None:
    """Whatever goes wrong is answered as {"error": {"code", "message", "hint"}}."""

    @app.exception_handler(StyleRigError)
    async def user_error(request: Request, error: StyleRigError) -> Response:
        return error_response(status_of(error), error.code, error.message, error.hint)

    @app.exception_handler(MemoryError)
    async def too_little(request: Request, error: MemoryError) -> Response:
        return await user_error(request, out_of_memory())

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        problems = error.errors()
        unread = problems[0]["type"] == "json_invalid"
        message = "The body is not JSON." if unread else f"{schema.first_problem(problems)}."
        return error_response(422, "invalid", message, READ_THE_SCHEMA)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        code = http.HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        message = f"{request.method} {request.url.path}: {error.detail}."
        return error_response(error.status_code, code, message, READ_THE_SCHEMA)

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        message = f"The backend failed at {request.method} {request.url.path} ({type(error).__name__})."
        answer = error_response(500, "internal", message, "This is a fault of StyleRig; its log says where it happened.")
        answer.headers["connection"] = "close"  # the server closes it after a fault: the client must not use it again
        return answer


def error_response(status: int, code: str, message: str, hint: str) -> Response:
    # ASCII with escapes: an input that a message quotes may hold what UTF-8 cannot.
    body = json.dumps(error_body(code, message, hint))
    return Response(body, status, media_type="application/json")
