"""The looks of a rig: a list of image-to-image translations that its finished portrait gets, one after the other."""

from __future__ import annotations

import json
import math

import bpy
from bpy.props import CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ..protocol import frames

DIGITS = 6  # of a strength, as of all that requests hold
OVERRIDABLE = {"LIBRARY_OVERRIDABLE"}
MASKS = (
    ("HEAD", "Whole Head", "All that the portrait shows", "USER", 0),
    ("FACE", "Face", "The face alone", "MESH_UVSPHERE", 1),
    ("HAIR", "Hair", "The hair alone, where the portrait's model draws a matte of it", "STRANDS", 2),
)


def tag(settings: bpy.types.PropertyGroup, _context: bpy.types.Context) -> None:
    """Have the owner evaluated again: Blender does so by itself only for edits in its interface."""
    settings.id_data.update_tag()


class StyleRigLookAmount(bpy.types.PropertyGroup):
    """An attribute that a look knows by ``name``, which every group has, and how much of it the portrait gets."""

    value: FloatProperty(
        name="Amount", description="How much of the attribute the portrait gets; it loses those at 0",
        min=0, max=1, subtype="FACTOR", update=tag, override=OVERRIDABLE,
    )  # fmt: skip


def suggestions(look: StyleRigLook, _context: bpy.types.Context, _typed: str) -> list[str]:
    return names_of(look)


class StyleRigLook(bpy.types.PropertyGroup):
    """A look by ``name``, which every group has, and hash; and how it is put on."""

    sha256: StringProperty(name="Hash", description="SHA-256 of the look's file: no other is taken for it", options={"HIDDEN"})
    takes: StringProperty(name="Takes", description="Attributes and domains that the look knows, as JSON", options={"HIDDEN"})
    strength: FloatProperty(
        name="Strength", description="How much of the look is seen; 0 leaves the portrait as it is",
        default=1, min=0, max=1, subtype="FACTOR", update=tag, override=OVERRIDABLE,
    )  # fmt: skip
    amounts: CollectionProperty(
        name="Amounts", description="How much of each attribute the portrait gets", type=StyleRigLookAmount, override=OVERRIDABLE
    )  # none in files of earlier versions: theirs is the label
    label: StringProperty(
        name="Label", description="Attributes with commas between, each also with an amount (young=0.5); or the domain of the style",
        options=set(), update=tag, override=OVERRIDABLE, search=suggestions, search_options={"SUGGESTION"},
    )  # fmt: skip
    seed: IntProperty(name="Style Seed", description="The number that the style is drawn from", min=0, update=tag, override=OVERRIDABLE)
    style: StringProperty(name="Style", description="The style of a reference picture, in place of the seed's", options={"HIDDEN"},
                          update=tag, override=OVERRIDABLE)  # fmt: skip
    reference: StringProperty(name="Reference", description="The picture that the style was read from", options=set(), override=OVERRIDABLE)
    mask: EnumProperty(name="Mask", description="What of the portrait gets the look", items=MASKS, update=tag, override=OVERRIDABLE)


def names_of(look: StyleRigLook) -> list[str]:
    """What a label may name."""
    known = known_of(look)
    return known["labels"] or known["domains"]


def has_styles(look: StyleRigLook) -> bool:
    return bool(known_of(look)["domains"])


def known_of(look: StyleRigLook) -> dict[str, list[str]]:
    try:
        known = json.loads(look.takes)
        return {part: [str(name) for name in known[part]] for part in ("labels", "domains")}
    except (ValueError, LookupError, TypeError):
        return {"labels": [], "domains": []}


def fill(look: StyleRigLook, entry: dict) -> None:
    """Make a look that of an entry of the backend's list, with its first label."""
    look.name, look.sha256 = entry["name"], entry["sha256"]
    look.takes = json.dumps({part: entry[part] for part in ("labels", "domains")}, ensure_ascii=False)
    names = known_of(look)["labels"]
    look.label, look.style, look.reference = ("" if names else (names_of(look) or [""])[0]), "", ""
    look.amounts.clear()
    for index, name in enumerate(names):
        amount = look.amounts.add()
        amount.name, amount.value = name, float(index == 0)


def request_of(look: StyleRigLook) -> dict:
    """A look as a request has it; what it does not take is left out."""
    asked = {"name": look.name, "sha256": look.sha256 or None, "strength": strength_of(look), "mask": look.mask.lower()}
    if label := label_of(look):
        asked["label"] = label
    if has_styles(look):
        asked |= {"style": look.style} if look.style else {"seed": look.seed}
    return asked


def label_of(look: StyleRigLook) -> str:
    """The attributes that the portrait gets, with their amounts, or the domain."""
    if look.amounts:
        amounts = {amount.name: share(amount.value) for amount in look.amounts}
        shown = {name: amount for name, amount in amounts.items() if amount > 0} or {look.amounts[0].name: 0.0}
        return ",".join(f"{name}={amount:g}" for name, amount in shown.items())
    return look.label if names_of(look) else ""


def strength_of(look: StyleRigLook) -> float:
    return share(look.strength)


def share(value: float) -> float:
    """From 0 to 1; what is no number, as a driver may have it, is 0."""
    return round(min(max(value, 0.0), 1.0), DIGITS) + 0.0 if math.isfinite(value) else 0.0


def read_looks(evaluated: bpy.types.Object) -> list[dict]:
    """The looks that change anything, as a request has them."""
    return [request_of(look) for look in evaluated.stylerig.looks if strength_of(look) > 0][: frames.MAX_LOOKS]
