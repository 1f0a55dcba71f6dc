"""What may come in over HTTP and in rig files; published as OpenAPI under ``/v1/openapi.json``.

Everything is bounded: numbers are finite, lists and names have a largest length. Whether a name or
a size fits the face model at hand is for ``portraits.py`` to say.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, FailFast, Field, Tag, ValidationError, field_validator, model_validator

from backend.protocol.exposure import LONGEST_SHUTTER, MAX_SAMPLES, SHUTTER, ShutterPosition
from backend.protocol.frames import (
    MAX_DISTANCE,
    MAX_LIGHT,
    MAX_LOOKS,
    MAX_SCALE,
    MAX_SEED,
    MAX_SHIFT,
    MAX_SIZE,
    MIN_DISTANCE,
    MIN_SCALE,
    MIN_SIZE,
    PASSES,
    SHOT_PASSES,
    ExrCompression,
    LookMask,
    PassName,
    ShotPassName,
)
from models.errors import StyleRigError

MAX_FRAMES = 100_000
MAX_LATENT = 100.0  # of any value of w; those of mapping networks lie within ±10, and mixtures of them not far outside
MAX_PARTS = 19 * MAX_FRAMES + 100  # lists and objects in a rig file's JSON; each takes far more memory than text
MAX_LOOK_SIDE = 8192  # pixels of a picture that gets a look
MAX_MATRIX = 1e9  # of any number of a matrix
MAX_PICTURE = 8192  # pixels of a side
MAX_NAMES = 1024  # in an object
MAX_CURVE = 1024  # steps of a shutter's curve
MAX_DIRECTIONS = 96  # of a portrait; each takes 3 kB of a request

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$", max_length=64)]
Number = Annotated[float, Field(ge=-MAX_LIGHT, le=MAX_LIGHT, allow_inf_nan=False)]
Angles = Annotated[list[Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]], Field(min_length=3, max_length=3)]
Triple = Annotated[list[Number], Field(min_length=3, max_length=3)]
Pair = Annotated[list[Annotated[float, Field(ge=-MAX_SHIFT, le=MAX_SHIFT, allow_inf_nan=False)]], Field(min_length=2, max_length=2)]
Light = Annotated[list[Triple], Field(min_length=9, max_length=9)]
Weights = Annotated[list[Number], Field(max_length=1024)]
Expression = Annotated[dict[Name, Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]], Field(max_length=MAX_NAMES)]
WeightsHash = Annotated[str, Field(pattern=r"^[0-9a-f]{8,128}$")]
AttributeName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=64)]
Amount = Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)]
Attributes = Annotated[dict[AttributeName, Amount], Field(max_length=MAX_NAMES)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
LookLabel = Annotated[str, Field(max_length=2000)]
LookStyle = Annotated[str, Field(max_length=6000)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Truncation = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]


class Message(BaseModel):
    """No unknown names, no strings for numbers."""

    model_config = ConfigDict(extra="forbid", strict=True)


Latent = Annotated[str, Field(max_length=700_000, description=f"base64 of little-endian float32, each within ±{MAX_LATENT:g}")]
LatentShape = Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(min_length=2, max_length=2)]


class PortraitRequest(Message):
    """A portrait to be drawn from a seed: the same seed is the same face everywhere. ``model`` null is the one that ships first."""

    model: Name | None = None
    seed: Seed
    truncation: Truncation = 0.7


class LatentRequest(PortraitRequest):
    """The same over HTTP, where a client may bring a latent, as when it has mixed two portraits.

    With ``w`` (and ``w_shape``) that latent is taken and its rig parameters are read from it, or are ``parameters`` where
    the model's latents do not hold a head's shape; ``seed`` and ``truncation`` are only noted.
    """

    weights_hash: WeightsHash | None = Field(None, description="of the model, which may be called otherwise now")
    w: Latent | None = None
    w_shape: LatentShape | None = None
    parameters: Parameters | None = None

    @model_validator(mode="after")
    def whole_latent(self) -> LatentRequest:
        if (self.w is None) != (self.w_shape is None):
            raise ValueError("w and w_shape belong together")
        return self


class Parameters(Message):
    """Rig parameters of a portrait in model space (y up, face looks along +z, cm, radians)."""

    identity: Weights = Field(description="standard deviations, one for each identity mode")
    reflectance: Weights = Field(description="standard deviations, one for each reflectance mode")
    expression: Expression = Field(description="0 to 1 by name; names left out are 0")
    light: Light = Field(description="spherical harmonics of order 2, 9 rows of linear RGB")
    rotation: Angles = Field(description="yaw, pitch, roll")
    translation: Triple = Field(description="x, y, z in cm")


class Attribute(Message):
    """A slider: amounts beyond its ends are taken for them."""

    name: AttributeName
    minimum: Amount
    maximum: Amount


class Direction(Attribute):
    """An attribute of a portrait beside those of its model."""

    layers: Annotated[list[Annotated[int, Field(ge=0, le=4095)]], Field(min_length=1, max_length=256)] = Field(
        description="numbers of the synthesis convolutions whose w it moves, coarse ones first"
    )
    step: Annotated[str, Field(max_length=22_000, description="base64 of little-endian float32 (w_dim): what an amount of 1 adds to w")]


class Directions(Message):
    """Attributes of the portraits of one generator, by value."""

    generator: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the generator's weights that they belong to")]
    directions: Annotated[list[Direction], Field(min_length=1, max_length=MAX_DIRECTIONS)]


class ModelRequest(Message):
    """Whose directions are meant: the model of a portrait."""

    model: Name | None = None
    weights_hash: WeightsHash | None = None


class DirectionsRequest(ModelRequest):
    """A directions file to be read for the portraits of a model."""

    name: Annotated[str, Field(max_length=255)] = Field("The file", description="what errors call it")
    file: Annotated[str, Field(max_length=1_000_000, description="its bytes in base64")]


class SefaRequest(ModelRequest):
    """Directions to be found in a model's weights."""

    layers: Annotated[str, Field(max_length=1000)] = Field("all", description='numbers and ranges, coarse ones first, as in "0-1,4"')
    count: Annotated[int, Field(ge=1, le=MAX_DIRECTIONS)] = 6
    distance: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = Field(5.0, description="how far an amount of 1 goes in w")


class HeadFrame(Message):
    """A square frame that shows a whole head."""

    center: Triple = Field(description="the point of the head in the middle of the frame, x, y, z in cm")
    half_width: Annotated[float, Field(gt=0, le=MAX_DISTANCE, allow_inf_nan=False)] = Field(
        description="half the frame's width in cm where that point is"
    )


class Offsets(Message):
    """What was added to the generator's weights for a person on a photograph: the hash of its file, and now and then the file.

    Without it the backend answers ``offsets_missing`` (409) when it has not seen that file since it started: send it once with.
    """

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    file: Annotated[str, Field(max_length=800_000)] | None = Field(None, description="its bytes in base64")


class Portrait(Message):
    """A whole portrait by value. The client keeps it; the backend keeps nothing."""

    model: Name
    weights_hash: WeightsHash
    seed: Seed
    truncation: Truncation
    w: Latent
    w_shape: LatentShape
    parameters: Parameters
    attributes: Annotated[list[Attribute], Field(max_length=MAX_NAMES)] | None = Field(
        None, description="those of its model, for the client to show; nothing is drawn by them"
    )
    directions: Directions | None = Field(None, description="attributes beside those of its model")
    frame: HeadFrame | None = Field(None, description="what its pictures show, for the client to place them; null: the FFHQ crop")
    offsets: Offsets | None = Field(None, description="of a portrait that was made of photographs")


class LookUse(Message):
    """A look that is put on the portrait. A look with styles takes that of ``seed``, or ``style``; neither: that of latent 0."""

    name: Name = Field(description="as GET /v1/looks lists it")
    sha256: Sha256 | None = Field(None, description="of the look's file, which may be called otherwise now; null: the one of this name")
    strength: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 1.0
    label: LookLabel | None = Field(None, description='attributes as in "blond hair,young=0.5", or all numbers; or the domain')
    seed: Seed | None = None
    style: LookStyle | None = Field(None, description="base64 of little-endian float32, as POST /v1/looks/style gives it")
    mask: LookMask = Field("head", description="head: all that the portrait shows; hair: where the model draws a matte of it")

    @model_validator(mode="after")
    def one_style(self) -> LookUse:
        if self.seed is not None and self.style is not None:
            raise ValueError("seed and style are both given")
        return self


class Controls(Message):
    """What is asked of a frame. What is null or left out is the portrait's own."""

    rotation: Angles | None = Field(None, description="yaw, pitch, roll of the head in radians")
    expression: Expression = Field(default_factory=dict, description="by name, 0 to 1")
    light: Light | None = Field(None, description="spherical harmonics of order 2, 9 rows of linear RGB")
    translation: Pair | None = Field(None, description="x to the right, y up, in widths of the frame")
    scale: Annotated[float, Field(ge=MIN_SCALE, le=MAX_SCALE, allow_inf_nan=False)] = 1.0
    distance: Annotated[float, Field(ge=MIN_DISTANCE, le=MAX_DISTANCE, allow_inf_nan=False)] | None = Field(
        None, description="cm from the camera to the middle of a whole head: near ones have a large nose. An FFHQ crop has only its own"
    )
    attributes: Attributes = Field(default_factory=dict, description="amounts by name, 0 the portrait's own; GET /v1/models lists them")
    looks: Annotated[list[LookUse], Field(max_length=MAX_LOOKS)] = Field(
        default_factory=list, description="image-to-image translation of the finished portrait, in this order"
    )


class Layers(Message):
    """Size of a frame, and that no pass is named twice."""

    size: Annotated[int, Field(ge=MIN_SIZE, le=MAX_SIZE)] | None = Field(
        None, description="width and height in pixels; null is the generator's own"
    )

    @field_validator("passes", check_fields=False)  # which each kind has
    @classmethod
    def once_each(cls, passes: list[str]) -> list[str]:
        if len(set(passes)) != len(passes):
            raise ValueError("a pass is named twice")
        return passes


class SequenceOutput(Layers):
    """Size, passes and files of a sequence; HeadDepth and Vector are passes of a camera's picture alone."""

    passes: Annotated[list[PassName | ShotPassName], Field(max_length=len(PASSES) + len(SHOT_PASSES))] = Field(default_factory=list)
    compression: ExrCompression = Field(
        "ZIP", description="of EXR files: ZIP loses nothing; DWAA is smaller and loses of colors what is not seen"
    )
    cryptomatte: bool = Field(False, description="whether EXR files hold Cryptomattes of the portrait and its parts")


class FrameOutput(Layers):
    """``png`` is the portrait alone (sRGB, straight alpha); ``raw`` is every pass as float32."""

    passes: Annotated[list[PassName], Field(max_length=len(PASSES))] = Field(default_factory=list)
    format: Literal["png", "raw"] = "png"
    precision: Literal["exact", "fast"] = Field(
        default="exact", description="fast is a preview, of raw alone: a small picture is drawn by the generator's coarse blocks"
    )


class FrameRequest(Message):
    portrait: Portrait
    controls: Controls = Field(default_factory=Controls)
    output: FrameOutput = Field(default_factory=FrameOutput)


class LookPicture(Message):
    """A picture (H, W, 4), row 0 at the top: of u1 in sRGB with straight alpha, of <f2 scene-linear with premultiplied alpha."""

    shape: Annotated[list[Annotated[int, Field(ge=1, le=MAX_LOOK_SIDE)]], Field(min_length=2, max_length=2)] = Field(
        description="height and width"
    )
    type: Literal["u1", "<f2"] = "u1"
    data: str = Field(description="base64 of the numbers")


class LookStyleRequest(Message):
    """The style of a reference picture is asked for."""

    look: LookUse
    picture: LookPicture


class LookRequest(LookStyleRequest):
    """A picture that gets a look; its mask has to be head."""


class LookStyleAnswer(BaseModel):
    style: str = Field(description="base64 of little-endian float32")


class LookModel(BaseModel):
    """A look that is here."""

    name: str
    sha256: str
    kind: str
    labels: list[str] = Field(description="attributes that a label names")
    domains: list[str] = Field(description="domains that a label names")
    title: str = Field(description="what its card says first")


class PhotoFile(Message):
    """A photograph."""

    name: Annotated[str, Field(max_length=255)] = Field("The photo", description="what errors call it")
    file: Annotated[str, Field(max_length=48_000_000, description="its bytes in base64")]


class PhotoRequest(Message):
    """A portrait of a person to be made of photographs; it looks as on the first. ``model`` null is the one that ships first."""

    model: Name | None = None
    photos: Annotated[list[PhotoFile], Field(min_length=1, max_length=8)]
    faces: Annotated[list[Annotated[int, Field(ge=1, le=99)] | None], Field(max_length=8)] = Field(
        default_factory=list, description="of each photo which face is meant, from 1, left to right; null where there is one"
    )
    effort: Literal["fast", "fine"] = "fast"


class MeshRequest(Message):
    portrait: Portrait


def portrait_kind(value: object) -> str:
    """Which of the two a rig file's portrait is, so that an error speaks of that one only."""
    whole = "w" in value if isinstance(value, dict) else isinstance(value, Portrait)
    return "whole" if whole else "from a seed"


Coefficient = Annotated[float, Field(ge=-MAX_MATRIX, le=MAX_MATRIX, allow_inf_nan=False)]
Matrix4 = Annotated[list[Coefficient], Field(min_length=16, max_length=16)]
Matrix3 = Annotated[list[Coefficient], Field(min_length=9, max_length=9)]


class Sight(Message):
    """How a scene's camera sees the portrait's head in a frame. Matrices row by row; the world is Blender's: z up, metres."""

    camera: Matrix4 = Field(description="from the world to the camera's axes: x right, y up, it looks along -z")
    projection: Matrix4 = Field(description="of the camera, as OpenGL has it: to x, y of ±1 at the picture's borders")
    near: Annotated[float, Field(ge=0, le=MAX_MATRIX, allow_inf_nan=False)] = Field(description="metres; what is nearer is not seen")
    head: Matrix4 = Field(description="from the head's model space, cm, to the world: where the head stands, as it is turned")
    rig: Matrix3 = Field(description="columns: the axes of the rig in the world, in which the controls' light is")


class CameraTrack(Message):
    """A scene's camera: with it, a frame is the camera's whole picture, and the portrait is where the head stands in it."""

    width: Annotated[int, Field(ge=1, le=MAX_PICTURE)] = Field(description="pixels of the picture")
    height: Annotated[int, Field(ge=1, le=MAX_PICTURE)]
    pixel_aspect: Annotated[float, Field(ge=0.005, le=200, allow_inf_nan=False)] = Field(1.0, description="a pixel's width / its height")
    sights: Annotated[list[Sight], Field(min_length=1, max_length=MAX_FRAMES), FailFast()] = Field(description="one for each frame")

    around: Annotated[list[Sight], Field(min_length=2, max_length=2)] | None = Field(
        None, description="before the first frame and after the last, for the pass Vector; null: nothing moves there"
    )

    def at(self, number: int, with_around: bool = False) -> CameraTrack:
        """The track of one frame alone; numbers begin with 1."""
        first, last = self.around or (self.sights[0], self.sights[-1])
        before = self.sights[number - 2] if number > 1 else first
        after = self.sights[number] if number < len(self.sights) else last
        return self.model_copy(update={"sights": [self.sights[number - 1]], "around": [before, after] if with_around else None})


class Moment(Message):
    """A frame as it is a little before or after its own time."""

    time: Annotated[float, Field(ge=-LONGEST_SHUTTER, le=LONGEST_SHUTTER, allow_inf_nan=False)] = Field(
        description="frames from the frame's own"
    )
    controls: Controls = Field(default_factory=Controls)
    sight: Sight | None = Field(None, description="where the rig file has a camera")


class Motion(Message):
    """Motion blur: a frame is the mean of portraits that are drawn while a shutter is open."""

    samples: Annotated[int, Field(ge=1, le=MAX_SAMPLES)] = Field(8, description="portraits of a frame; 1: no motion blur")
    shutter: Annotated[float, Field(ge=0, le=LONGEST_SHUTTER, allow_inf_nan=False)] = Field(SHUTTER, description="frames that it is open")
    position: ShutterPosition = Field("CENTER", description="the frame's own time is where it opens, in the middle, or where it closes")
    curve: Annotated[list[Annotated[float, Field(ge=0, le=MAX_MATRIX)]], Field(max_length=MAX_CURVE)] = Field(
        default_factory=list, description="how far it is open, at even steps from opening to closing; empty: as far all the while"
    )
    moments: Annotated[list[Annotated[list[Moment], Field(max_length=MAX_SAMPLES)]], Field(max_length=MAX_FRAMES), FailFast()] = Field(
        default_factory=list, description="of each frame what is known around it; what is between known times is interpolated"
    )


class RigFile(Message):
    """A sequence for ``python -m backend render``."""

    portrait: Annotated[
        Annotated[Portrait, Tag("whole")] | Annotated[PortraitRequest, Tag("from a seed")],
        Discriminator(portrait_kind),
    ]
    frames: Annotated[list[Controls], Field(min_length=1, max_length=MAX_FRAMES), FailFast()]
    output: SequenceOutput = Field(default_factory=SequenceOutput)
    camera: CameraTrack | None = Field(None, description="of the scene in which the portrait stands; null: its own frame")
    motion: Motion | None = Field(None, description="motion blur; null: none")

    @model_validator(mode="after")
    def moments_fit(self) -> RigFile:
        moments = self.motion.moments if self.motion is not None else []
        if moments and len(moments) != len(self.frames):
            raise ValueError(f"motion has moments of {len(moments)} frames, and there are {len(self.frames)}")
        if any((moment.sight is None) != (self.camera is None) for each in moments for moment in each):
            raise ValueError("moments have a sight where there is a camera, and only there")
        return self

    @model_validator(mode="after")
    def track_fits(self) -> RigFile:
        if self.camera is not None and len(self.camera.sights) != len(self.frames):
            raise ValueError(f"the camera has {len(self.camera.sights)} sights, and there are {len(self.frames)} frames")
        if self.camera is not None and self.output.size is not None:
            raise ValueError("the camera says the size, so output cannot say another")
        return self


class Problem(BaseModel):
    code: str
    message: str
    hint: str


class Health(BaseModel):
    """Whether the backend is there, and whether its model is."""

    status: Literal["ok"]
    version: str
    device: str
    models: list[str]
    loaded: bool
    problem: Problem | None = Field(description="of the last attempt to load the model")


class Model(BaseModel):
    """What a client may ask of a model."""

    name: str
    weights_hash: str
    resolution: int
    w_shape: list[int]
    expressions: list[str]
    attributes: list[Attribute]
    identity: int
    reflectance: int
    passes: list[str]
    sizes: list[int] = Field(description="the smallest and the largest")


class JobBegun(BaseModel):
    """Where to ask how far it is: GET /v1/portraits/photos/{job}."""

    job: str


class PhotoState(BaseModel):
    """How far a portrait of photographs is; when it ``ended`` there is the portrait or an error."""

    stage: str
    done: float = Field(description="0 to 1")
    preview: str | None = Field(description="a PNG in base64 of what it looks like so far")
    ended: bool
    portrait: Portrait | None
    error: Problem | None


class ErrorAnswer(BaseModel):
    """Every answer with a status of 400 and above."""

    error: Problem


def first_problem(errors: Sequence[Any], skip: tuple[str, ...] = ("body",)) -> str:
    """The first of pydantic's errors in one line: ``controls.rotation.0: …`` and how many follow."""
    place = ".".join(str(part) for part in errors[0]["loc"] if part not in skip)
    text = f"{place}: {errors[0]['msg']}" if place else errors[0]["msg"]
    more = len(errors) - 1
    return f"{text} ({more} more)" if more else text


def parse_rig_file(content: str | bytes, name: str) -> RigFile:
    """Read a rig file's JSON, bytes of it in UTF-8, 16 or 32; raises StyleRigError that says which entry of ``name`` is wrong."""
    try:
        return RigFile.model_validate(read_json(content))
    except ValidationError as error:
        reason = first_problem(error.errors(include_url=False, include_context=False, include_input=False))
    except ValueError as error:
        reason = str(error)
    raise StyleRigError(
        f"{name} is not a rig file that can be rendered: {reason}.",
        'It holds "portrait" (a portrait or {"seed": 7}), "frames" (a list of controls) and "output".',
        code="bad_rig_file",
    )


def read_json(content: str | bytes) -> object:
    """The value of a JSON text, with or without a byte order mark, that has no more parts than a rig file. Raises ValueError."""
    try:
        text = content if isinstance(content, str) else content.decode(json.detect_encoding(content))
        if text.count("[") + text.count("{") > MAX_PARTS:
            raise ValueError("it has more lists and objects than a rig file can have")
        return json.loads(text, object_pairs_hook=bounded)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"it is not JSON ({error})") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def bounded(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(pairs) > MAX_NAMES:
        raise ValueError(f"an object in it has more than {MAX_NAMES} names")
    return dict(pairs)
