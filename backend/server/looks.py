"""Looks over HTTP: which there are, the style of a reference, and a look on a picture."""

from __future__ import annotations

import base64
import binascii

import numpy as np

from backend.files.pictures import SceneColours, bad_picture, check_shows_something
from backend.protocol.colour import BACKDROP
from backend.server import schema, serialization
from models.rigging import LookUse
from models.rigging.looks import style_for
from models.translation.errors import bad_image
from models.translation.library import library
from models.translation.look import Look
from models.translation.request import as_tensor, label_of, put_on, styled


def looks_here() -> list[schema.LookModel]:
    """All looks that can be called by name."""
    return [
        schema.LookModel(
            name=entry.name, sha256=entry.sha256, kind=entry.kind,
            labels=list(entry.labels), domains=list(entry.domains), title=entry.title,
        )
        for entry in library().entries()
        if entry.kind != "cogan"  # which changes no picture
    ]  # fmt: skip


def style_of_reference(request: schema.LookStyleRequest, device: str) -> schema.LookStyleAnswer:
    """The style of a reference picture in the domain of the look's label. Raises StyleRigError."""
    look, use = find(request.look, device)
    pixels = pixels_of(request.picture)
    shown = shown_of(pixels, request.picture.type == "<f2")
    check_shows_something("The reference", shown)
    style = styled(look).style_of(as_tensor(shown), label_of(look, use.label))
    return schema.LookStyleAnswer(style=serialization.encode(style[0].cpu().numpy()))


def looked(request: schema.LookRequest, device: str) -> np.ndarray:
    """The picture with the look on it, float32 (H, W, 4), in the values that it came in; alpha stays. Raises StyleRigError."""
    look, use = find(request.look, device)
    if use.mask != "head":
        raise bad_image(f"its mask is {use.mask!r}, and a picture alone does not say what is where", "Choose the mask head.")
    pixels, scene = pixels_of(request.picture), request.picture.type == "<f2"
    answer = lambda shown: put_on(look, shown, use.strength, label_of(look, use.label), style_for(look, use))
    if scene:
        colours = SceneColours(pixels[..., :3], pixels[..., 3:])
        pixels[..., :3] = colours.back(answer(colours.shown))
    else:
        shown = shown_of(pixels, scene)
        pixels[..., :3] = np.where(pixels[..., 3:] > 0, answer(shown), pixels[..., :3])
    return pixels


def find(message: schema.LookUse, device: str) -> tuple[Look, LookUse]:
    use = serialization.look_from_schema(message)
    return library().get(use.name, use.sha256, device), use


def shown_of(pixels: np.ndarray, scene: bool) -> np.ndarray:
    """What a network sees of a picture (H, W, 4): display colours (H, W, 3), 0 to 1."""
    if scene:
        return SceneColours(pixels[..., :3], pixels[..., 3:]).shown
    return np.where(pixels[..., 3:] > 0, pixels[..., :3], np.float32(BACKDROP))


def pixels_of(message: schema.LookPicture) -> np.ndarray:
    """Float32 (H, W, 4), bytes as 0 to 1. Raises StyleRigError where there are more or fewer, or some are no numbers."""
    try:
        data = base64.b64decode(message.data, validate=True)
        pixels = np.frombuffer(data, message.type).reshape(*message.shape, 4).astype(np.float32)
    except (binascii.Error, ValueError) as error:
        raise bad_picture("The picture", f"its data are not {message.shape} pixels of 4 x {message.type}", "Send all of them.") from error
    if not np.isfinite(pixels).all():
        raise bad_picture("The picture", "it has values that are not numbers", "Render it again.")
    return pixels / 255 if message.type == "u1" else pixels
