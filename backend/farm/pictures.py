"""One picture to be drawn: what it is made from, whether it is there already, and drawing it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from backend.farm.shot import InShot, shot_frame
from backend.files import recipe
from backend.protocol import cryptomatte
from backend.protocol.exposure import BLURRED, Exposure
from backend.protocol.frames import MATTES
from models.io.atomic_write import write_atomic

if TYPE_CHECKING:
    import numpy as np

    from backend.files.images import Origin
    from backend.protocol.frames import ExrCompression
    from backend.server import schema
    from models.rigging import Portrait, Rig

    Layer = tuple[dict[str, np.ndarray], cryptomatte.Coverages]  # passes, and what Cryptomattes hold


@dataclass(frozen=True)
class Picture:
    """A picture is a pure function of all that stands here and of the rig; its file is PNG or EXR by its suffix."""

    path: Path
    portrait: Portrait
    whole: schema.Portrait  # the same by value
    controls: schema.Controls
    size: int | None  # pixels; None is the generator's
    passes: Sequence[str]  # of an EXR
    compression: ExrCompression = "ZIP"  # the same
    cryptomatte: bool = False  # the same
    in_shot: InShot | None = None  # None: the portrait's own frame; else its size is the camera's
    motion: schema.Motion | None = None  # with the moments of this frame, whose mean it is

    def origin(self) -> Origin:
        """What the file says it was made from: a rig file of this picture alone, and a digest of that."""
        one_frame = recipe.one_frame(self.whole, self.controls, self.size, self.passes, self.compression, self.cryptomatte)
        if self.in_shot is not None:
            one_frame["camera"] = self.in_shot.camera.model_dump(exclude_none=True)
        if self.motion is not None:
            one_frame["motion"] = recipe.motion(self.motion)
        return recipe.origin(one_frame)

    def is_there(self) -> bool:
        """Whether the file is there, can be decoded, and was made from the same by this version."""
        from backend.files.images import decodes, request_of

        return request_of(self.path) == self.origin().request and decodes(self.path)

    def draw(self, rig: Rig) -> None:
        """Draw the picture and write its file, whole or not at all. Raises StyleRigError."""
        from backend.files import images

        (frame, coverages), origin = self.exposed(rig), self.origin()
        if self.path.suffix == ".exr":
            of_exr = self.compression, coverages
            write_atomic(self.path, lambda temporary: images.write_exr(temporary, frame, self.passes, origin, *of_exr))
        else:
            write_atomic(self.path, images.png_bytes(frame, origin))

    def exposed(self, rig: Rig) -> Layer:
        """The picture; with motion Combined and mattes are the mean of its moments, all else is of the frame's own time."""
        if self.motion is None:
            return self.layer(rig)
        from backend.files.images import SceneLinear, scene_linear

        blurred, still = ([name for name in self.passes if (name in BLURRED) == kind] for kind in (True, False))
        seen = Exposure()
        for moment, same in itertools.groupby(self.motion.moments[0], key=lambda moment: (moment.controls, moment.sight)):
            layer = self.at(*moment, blurred).layer(rig)
            for _ in same:  # what does not move is drawn once
                seen.add(*layer)
        frame, coverages = seen.mean()
        own = replace(self, passes=still, cryptomatte=False).frame(rig) if still else {}
        return SceneLinear({**scene_linear(own), **frame}), coverages

    def at(self, controls: schema.Controls, sight: schema.Sight | None, passes: Sequence[str]) -> Picture:
        """The same at a moment."""
        shown = self.in_shot and replace(self.in_shot, camera=self.in_shot.camera.model_copy(update={"sights": [sight]}))
        return replace(self, controls=controls, in_shot=shown, passes=passes, motion=None)

    def layer(self, rig: Rig) -> Layer:
        """Combined and the passes at the picture's own time, and what Cryptomattes hold."""
        frame = self.frame(rig)
        return frame, cryptomatte.of_portrait(f"Portrait {self.portrait.seed}", frame) if self.cryptomatte else {}

    def frame(self, rig: Rig) -> dict[str, np.ndarray]:
        """Combined, the passes, and what Cryptomattes are made of."""
        from backend.server import serialization
        from backend.server.inference import render_frame

        passes = tuple(dict.fromkeys((*self.passes, *MATTES))) if self.cryptomatte else self.passes
        if self.in_shot is not None:
            return shot_frame(rig, self.portrait, self.whole, self.controls, self.in_shot, passes)
        return render_frame(rig, self.portrait, serialization.controls_from_schema(self.controls, rig.face), self.size, passes)
