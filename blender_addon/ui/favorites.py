"""Faces that a person wants to find again: kept in the extension's preferences, for all files."""

from __future__ import annotations

import json

import bpy
from bpy.props import FloatProperty, StringProperty

from ..client.candidates import Face
from ..errors import UserError
from ..rig import seeds
from ..settings import preferences
from ..translations import tr_error
from ..windows import redraw

MOST = 200  # kept; the oldest go first
FIRST_MODEL = "stylerig"  # of faces kept when a favorite did not yet name its model


def favorites() -> list[Face]:
    """The faces kept, in the order in which they were; [] where the preferences hold none that can be read."""
    found = preferences()
    try:
        kept = [read_face(*entry) for entry in json.loads(found.favorites)] if found else []
    except (ValueError, TypeError):
        return []
    return [face for face in kept if seeds.is_seed(str(face.seed)) and 0 <= face.truncation <= 1]


def read_face(seed: float, truncation: float, model: str = FIRST_MODEL) -> Face:
    return Face(int(seed), float(truncation), str(model))


def toggle(face: Face) -> None:
    """Keep a face, or keep it no longer."""
    found, kept = preferences(), favorites()
    if found is None:
        return
    kept = [one for one in kept if one != face] if face in kept else [*kept, face][-MOST:]
    found.favorites = json.dumps(kept)
    bpy.context.preferences.is_dirty = True


def draw_button(layout: bpy.types.UILayout, face: Face) -> None:
    """The star that keeps a face."""
    kept = face in favorites()
    star = layout.operator("stylerig.favorite", text="", icon="SOLO_ON" if kept else "SOLO_OFF", depress=kept)
    star.seed, star.truncation, star.model = str(face.seed), face.truncation, face.model


class STYLERIG_OT_favorite(bpy.types.Operator):
    """Keep this face among the favorites of the gallery, or take it away from them"""

    bl_idname = "stylerig.favorite"
    bl_label = "Favorite"

    seed: StringProperty(name="Seed", description="Number of the face")
    truncation: FloatProperty(name="Variety", description="How far from the average face", min=0, max=1)
    model: StringProperty(name="Model", description="Name of the model that draws it")

    def execute(self, _context: bpy.types.Context) -> set[str]:
        try:
            toggle(Face(seeds.seed_of(0, self.seed), round(self.truncation, 4), self.model))
        except UserError as error:
            self.report({"ERROR"}, tr_error(error))
            return {"CANCELLED"}
        redraw("VIEW_3D")
        return {"FINISHED"}


CLASSES = (STYLERIG_OT_favorite,)
