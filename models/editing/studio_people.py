"""What people are made of whom the studio's generators draw, and how two of them differ in one attribute.

There are two kinds: scenes (``studio_v1``), whose numbers z holds, and described people (``generators.person``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.editing.scores import Scores
from models.editing.studio_scores import check_studio, is_studio, studio_scores
from models.errors import StyleRigError
from models.face import load_face_model
from models.generators import Generator
from models.generators.guided import GuidedConfig
from models.generators.person import PersonMapping
from models.generators.semantic_mapping.studio_v1 import LATENT_SIZE, LIGHTS, LOOKS, TARGET_BY_TONE, layout, scene_features
from models.synthetic.description import CHOICES, amounts_of, style_amounts
from models.synthetic.hair.styles import STYLES
from models.synthetic.person import latent_size, person_from_latent


@dataclass(frozen=True)
class Contrast:
    """Two values of what an attribute is made of, and how far faces stay faces, in steps from the one to the other."""

    low: Mapping[str, float]
    high: Mapping[str, float]
    reach: tuple[float, float]


class People(Protocol):
    """People of a generator as numbers (N, M), everyone a row."""

    @property
    def contrasts(self) -> Mapping[str, Contrast]: ...

    @property
    def conditions(self) -> tuple[str, ...]:
        """What of the rig w says."""
        ...

    def draw(self, count: int, seed: int) -> Tensor: ...

    def changed(self, numbers: Tensor, values: Mapping[str, float]) -> Tensor:
        """The same people with some of their numbers set to ``values``."""
        ...

    def codes(self, numbers: Tensor) -> Tensor:
        """w (N, D), not truncated."""
        ...

    def scores(self, z: Tensor) -> Scores:
        """What z (N, z_dim) means, by attribute."""
        ...

    def rig(self, numbers: Tensor) -> Tensor:
        """What of the rig w says (N, R)."""
        ...


def taught_by_studio(generator: Generator) -> bool:
    """Whether it is known what z of a generator means."""
    return is_studio(generator) or (isinstance(generator.config, GuidedConfig) and generator.config.person.features > 0)


def people_of(generator: Generator) -> People:
    """The people of a generator. Raises StyleRigError for one that the studio did not teach."""
    if isinstance(generator.mapping, PersonMapping) and isinstance(generator.config, GuidedConfig) and generator.config.person.features:
        return DescribedPeople(generator, generator.mapping, generator.config)
    check_studio(generator)
    return ScenePeople(generator)


def standard_normal(generator: Generator, count: int, seed: int) -> Tensor:
    """z (N, z_dim) on the generator's device, drawn on the processor."""
    return torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(seed)).to(generator.w_avg.device)


BARE = {"beard": -1.0, "moustache": -1.0, "make_up": -1.0}
SCENE_CONTRASTS = {
    "age": Contrast({"age": -3.0}, {"age": 3.0}, (-2.0, 2.0)),
    # Scenes know no sex: what of it they have.
    "masculine": Contrast(
        {"stubble": -2.0, "brow_thick": -2.0, "lashes": 2.0, "make_up": 0.6, "beard": -1.0, "moustache": -1.0},
        {"stubble": 2.0, "brow_thick": 2.0, "lashes": -2.0, "make_up": -1.0, "beard": 0.85, "moustache": 0.95},
        (-0.8, 1.0),
    ),
    "beard": Contrast(BARE, BARE | {"beard": 1.6}, (-0.6, 0.9)),
    "moustache": Contrast(BARE, BARE | {"moustache": 2.0}, (-0.6, 1.0)),
    "glasses": Contrast({"glasses": 0.0}, {"glasses": 2.0}, (-1.0, 2.0)),
    "make_up": Contrast(BARE, BARE | {"make_up": 1.4}, (-0.6, 1.0)),
    "hair_length": Contrast({"style_crop": 4.0}, {"style_long_straight": 4.0}, (-0.4, 0.7)),
    "curly_hair": Contrast({"style_bob": 4.0}, {"style_afro": 4.0}, (-0.5, 0.5)),
    "dark_hair": Contrast({"hair_dark": -2.0}, {"hair_dark": 2.0}, (-1.0, 1.0)),
    "red_hair": Contrast({"hair_red": -1.0}, {"hair_red": 3.0}, (-1.0, 1.2)),
    "grey": Contrast({"grey": -1.0}, {"grey": 3.0}, (-0.6, 1.0)),
    "light_skin": Contrast({"tone": -1.5}, {"tone": 1.5}, (-0.9, 0.7)),
    "freckles": Contrast({"freckles": -3.0}, {"freckles": 3.0}, (-1.5, 1.5)),
}


class ScenePeople:
    """Scenes by their numbers z (N, z_dim). What the scenes' rules couple is taken back: grey comes with age, exposure with skin."""

    contrasts = SCENE_CONTRASTS
    conditions = ("expression", "light", "rotation")

    def __init__(self, generator: Generator):
        self.generator = generator
        places = layout()
        self.place = {name: places["looks"].start + number for number, name in enumerate(LOOKS)}
        self.place["tone"] = places["reflectance"].start
        self.place["exposure"] = places["light"].start + LIGHTS.index("exposure")

    def draw(self, count: int, seed: int) -> Tensor:
        return standard_normal(self.generator, count, seed).cpu()

    def changed(self, numbers: Tensor, values: Mapping[str, float]) -> Tensor:
        z, at = numbers.clone(), self.place
        for name, value in values.items():
            z[:, at[name]] = value
        z[:, at["grey"]] -= GREY_BY_AGE * (z - numbers)[:, at["age"]]
        z[:, at["exposure"]] -= EXPOSURE_BY_TONE * (z - numbers)[:, at["tone"]]
        return z

    def codes(self, numbers: Tensor) -> Tensor:
        return self.generator.mapping(numbers.to(self.generator.w_avg.device))[:, 0].cpu()

    def scores(self, z: Tensor) -> Scores:
        return studio_scores(z)

    def rig(self, numbers: Tensor) -> Tensor:
        features = scene_features(numbers[:, :LATENT_SIZE])
        return torch.cat([features[name].flatten(1) for name in self.conditions], dim=1)


GREY_BY_AGE = 0.8  # as in studio_v1.visible_looks
EXPOSURE_BY_TONE = 0.85 * TARGET_BY_TONE / 0.16  # as in studio_v1.scene_from_latent and lighting


def haircut(name: str) -> dict[str, float]:
    """Everything that a haircut is described by."""
    return one_of("style", name) | style_amounts(STYLES[name])


def one_of(choice: str, name: str) -> dict[str, float]:
    """A choice that is made."""
    return {f"{choice}:{other}": float(other == name) for other in CHOICES[choice]}


LINES = ("forehead", "frown", "crow", "bags", "smile", "marionette", "cheeks", "lip", "neck", "lid")
PAINT = {"foundation": 0.45, "lipstick": 0.6, "eye_shadow": 0.25, "eye_liner": 0.45, "blush": 0.3, "lipstick_colour_r": 0.3,
         "lipstick_colour_g": 0.08, "lipstick_colour_b": 0.1, "shadow_colour_r": 0.08, "shadow_colour_g": 0.06, "shadow_colour_b": 0.06}  # fmt: skip
WHISKERS = {"beard_chin": 0.2, "beard_cheek": 0.1, "beard_lip": 0.45, "beard_dense": 0.9}
FRAMES = {"glasses_thick": 1.0, "frame_r": 0.2, "frame_g": 0.15, "frame_b": 0.12}
NOTHING = lambda values: dict.fromkeys(values, 0.0)
PERSON_CONTRASTS = {
    "age": Contrast(
        {"age": -1.4, "age_spots": -1.0, **{f"line_{name}": 0.0 for name in LINES}},
        {"age": 1.6, "age_spots": 1.0, **{f"line_{name}": 0.9 for name in LINES}},
        (-1.0, 1.0),
    ),
    "masculine": Contrast(
        {"masculine": -1.0, "stubble": -1.0, "brow_thick": -1.0, "lashes": 1.0, "broad": -0.8},
        {"masculine": 1.0, "stubble": 1.0, "brow_thick": 1.0, "lashes": -1.0, "broad": 0.8},
        (-1.0, 1.0),
    ),
    "beard": Contrast(one_of("beard", "none") | NOTHING(WHISKERS), one_of("beard", "full") | WHISKERS, (-1.0, 1.0)),
    "glasses": Contrast(one_of("glasses", "none") | NOTHING(FRAMES), one_of("glasses", "clear") | FRAMES, (-1.0, 1.0)),
    "make_up": Contrast(NOTHING(PAINT), PAINT, (-1.0, 1.0)),
    "hair_length": Contrast(haircut("crop"), haircut("long_straight"), (-1.0, 1.0)),
    "curly_hair": Contrast(haircut("long_straight"), haircut("long_curls"), (-1.0, 1.0)),
    "dark_hair": Contrast(
        {"hair_colour_r": 0.5, "hair_colour_g": 0.38, "hair_colour_b": 0.22}, {"hair_colour_r": 0.08, "hair_colour_g": 0.06, "hair_colour_b": 0.05},
        (-1.0, 1.0),
    ),
    "red_hair": Contrast(
        {"hair_colour_r": 0.3, "hair_colour_g": 0.22, "hair_colour_b": 0.15}, {"hair_colour_r": 0.45, "hair_colour_g": 0.2, "hair_colour_b": 0.08},
        (-1.0, 1.0),
    ),
    "grey": Contrast({"white": 0.0}, {"white": 0.85}, (-1.0, 1.0)),
    "freckles": Contrast({"freckles": -1.0}, {"freckles": 1.0}, (-1.0, 1.0)),
}  # fmt: skip


class DescribedPeople:
    """People by their description (N, F); pose, expression, light, the head's shape and its skin's colour are the guide's."""

    contrasts = PERSON_CONTRASTS
    conditions: tuple[str, ...] = ()

    def __init__(self, generator: Generator, mapping: PersonMapping, config: GuidedConfig):
        self.generator, self.mapping = generator, mapping
        self.place = {name: number for number, name in enumerate(feature_names(config.head))}
        if len(self.place) != config.person.features:
            raise StyleRigError(
                f"This generator describes people by {config.person.features} numbers, the studio of this version by {len(self.place)}.",
                "Use the version of StyleRig that trained it.",
                code="no_scene",
            )

    def draw(self, count: int, seed: int) -> Tensor:
        return self.mapping.features(standard_normal(self.generator, count, seed)).cpu()

    def changed(self, numbers: Tensor, values: Mapping[str, float]) -> Tensor:
        changed = numbers.clone()
        for name, value in values.items():
            changed[:, self.place[name]] = value
        return changed

    def codes(self, numbers: Tensor) -> Tensor:
        return self.mapping.from_features(numbers.to(self.generator.w_avg.device)).cpu()

    @torch.no_grad()
    def scores(self, z: Tensor) -> Scores:
        """Beard, moustache and glasses are 0–1, make-up and grey how much there is of it, the others as ``synthetic.description`` counts them."""
        numbers = self.mapping.features(z.to(self.generator.w_avg.device)).cpu()
        of = lambda *names: numbers[:, [self.place[name] for name in names]]
        colour = of("hair_colour_r", "hair_colour_g", "hair_colour_b")
        columns = {
            "age": of("age"),
            "masculine": of("masculine"),
            "beard": of("beard:goatee", "beard:full").sum(dim=1),
            "moustache": of("beard:moustache"),
            "glasses": 1 - of("glasses:none"),
            "make_up": of("foundation", "lipstick", "eye_shadow", "eye_liner", "blush").mean(dim=1),
            "hair_length": of("front", "top", "side", "back").mean(dim=1),
            "dark_hair": -colour.mean(dim=1),
            "red_hair": colour[:, 0] - colour[:, 1],
            "grey": of("white"),
            "freckles": of("freckles"),
            "stubble": of("stubble"),
        }
        return Scores(tuple(columns), torch.stack([column.flatten() for column in columns.values()], dim=1))

    def rig(self, numbers: Tensor) -> Tensor:
        return numbers[:, :0]


def feature_names(head: str) -> list[str]:
    """The names of a description's numbers, in their order."""
    face = load_face_model(head)
    somebody = person_from_latent(torch.zeros(latent_size(face)), face)
    return [f"{choice}:{name}" for choice, names in CHOICES.items() for name in names] + list(amounts_of(somebody))
