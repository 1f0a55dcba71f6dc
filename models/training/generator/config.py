"""A training plan, read from a TOML or JSON file."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.errors import StyleRigError
from models.generators import GeneratorConfig
from models.io.regular_file import read_text

LARGEST_PLAN = 1 << 20  # bytes
KINDS = ("pairs", "adversarial")
DISCRIMINATORS = {"stylegan2": 8, "patches": 16}  # what judges, and the fewest pixels it takes


@dataclass(frozen=True)
class Stage:
    """One part of a training: ends after ``minutes`` of work or ``images``, whichever comes first.

    ``batch`` counts over all processes. ``final_rate`` is the learning rate's fraction at the end.
    Adversarial stages: ``free`` is the part of the generated pictures that come from random z
    (styles mixed with probability ``mixing``), 1 for pictures without latents; the others are pairs,
    whose losses are kept, without their ``pair_skip`` finest levels. Regularisers act every ``_interval`` steps, path lengths with
    ``path_weight`` 0 not at all; ADA with ``ada_target`` 0 not at all, ``ada_images`` take its
    probability from 0 to 1. ``flip`` lets the discriminator see mirrored pictures. In the likeness to
    pairs the middle of a picture weighs 1 + ``focus``, and eyes, brows and mouth ``feature_focus`` more;
    ``texture_weight`` is that of the likeness of texture (texture.py), ``reading_weight`` of what a reader of
    faces sees (reading.py).
    """

    kind: str = "pairs"
    resolution: int = 128
    batch: int = 16
    minutes: float = 0.0
    images: int = 0
    learning_rate: float = 0.003
    final_rate: float = 0.1
    beta1: float = 0.9
    warmup_images: int = 500
    pair_weight: float = 1.0
    pair_skip: int = 0
    gradient_weight: float = 1.0
    focus: float = 2.0
    feature_focus: float = 0.0
    texture_weight: float = 0.0
    reading_weight: float = 0.0
    adversarial_weight: float = 1.0
    adversarial_ramp: int = 2000
    feature_weight: float = 1.0
    discriminator_rate: float = 0.002
    r1_gamma: float = 1.0
    r1_interval: int = 16
    path_weight: float = 0.0
    path_interval: int = 8
    ada_target: float = 0.6
    ada_images: int = 100_000
    flip: bool = False
    free: float = 0.25
    mixing: float = 0.5


@dataclass(frozen=True)
class TrainingConfig:
    """The generator, the stages one after another, and the habits of the loop.

    ``mapping_rate`` is the mapping's learning rate, as a part of the stage's. ``discriminator`` judges
    the whole picture ("stylegan2", of ``discriminator_channels``) or its patches ("patches").
    """

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: str = "stylegan2"
    discriminator_channels: dict[int, int] = field(default_factory=lambda: {4: 192, 8: 192, 16: 128, 32: 96, 64: 48, 128: 16})
    stages: tuple[Stage, ...] = (Stage(),)
    seed: int = 0
    mapping_rate: float = 1.0
    precision: str = "auto"
    compile: bool = True
    ema_images: float = 2000.0
    checkpoint_minutes: float = 3.0
    sheet_minutes: float = 3.0
    rescan_minutes: float = 1.0

    def check(self) -> None:
        if self.generator.img_channels != 4:
            raise bad_plan("the pictures carry a matte, so the generator needs img_channels = 4")
        if self.mapping_rate < 0:
            raise bad_plan("mapping_rate cannot be negative")
        if not self.stages:
            raise bad_plan("it has no stages")
        if self.precision not in ("auto", "float32", "bf16"):
            raise bad_plan(f"precision is {self.precision!r}, expected auto, float32 or bf16")
        if self.discriminator not in DISCRIMINATORS:
            raise bad_plan(f"discriminator is {self.discriminator!r}, expected one of {tuple(DISCRIMINATORS)}")
        for number, stage in enumerate(self.stages, 1):
            check_stage(stage, f"stage {number}", self)


def check_stage(stage: Stage, name: str, config: TrainingConfig) -> None:
    if stage.kind not in KINDS:
        raise bad_plan(f"{name} is of the kind {stage.kind!r}, expected one of {KINDS}")
    if stage.minutes <= 0 and stage.images <= 0:
        raise bad_plan(f"{name} needs minutes or images")
    if stage.batch < 1 or stage.learning_rate <= 0 or not 0 <= stage.free <= 1:
        raise bad_plan(f"{name} has a batch, learning rate or free part that cannot be")
    if not 0 <= stage.pair_skip or stage.resolution >> stage.pair_skip < 4:
        raise bad_plan(f"{name} leaves out {stage.pair_skip} levels, which is all there are")
    if min(stage.r1_interval, stage.path_interval, stage.ada_images) < 1:
        raise bad_plan(f"{name} has an interval that is not at least 1")
    if stage.resolution not in config.generator.block_resolutions:
        raise bad_plan(f"{name} has the resolution {stage.resolution}, which the generator does not pass through")
    if stage.kind == "adversarial":
        if stage.resolution < (least := DISCRIMINATORS[config.discriminator]):
            raise bad_plan(f"{name} is adversarial, which takes at least {least} pixels")
        needed = {r: config.discriminator_channels.get(r, 0) for r in config.generator.block_resolutions}
        if config.discriminator == "stylegan2" and min(needed.values()) < 1:
            raise bad_plan("discriminator_channels lacks a resolution")


def load_config(path: str | Path) -> TrainingConfig:
    """Read a plan; raises StyleRigError with the name of what is wrong in it."""
    path = Path(path)
    try:
        text = read_text(path, LARGEST_PLAN)
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise bad_plan(f"{path} is not {'JSON' if path.suffix == '.json' else 'TOML'}: {error}") from error
    return config_from_json(values)


def config_from_json(values: Any) -> TrainingConfig:
    if not isinstance(values, dict):
        raise bad_plan("it is not a table of names and values")
    values = dict(values)
    if "generator" in values:
        values["generator"] = GeneratorConfig.from_json(values["generator"])
    try:
        if "discriminator_channels" in values:
            pairs = values["discriminator_channels"].items()
            values["discriminator_channels"] = {int(key): int(value) for key, value in pairs}
        stages = values.pop("stages", None)
        if stages is not None:
            values["stages"] = tuple(build(Stage, stage) for stage in stages)
        config = build(TrainingConfig, values)
        config.check()
    except (TypeError, ValueError, AttributeError) as error:
        raise bad_plan(str(error)) from error
    return config


def build(kind: type, values: dict[str, Any]) -> Any:
    """A dataclass from a table, with each plain number or word of the default's type."""
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}
    if unknown := sorted(set(values) - set(fields)):
        raise bad_plan(f"unknown names {unknown}")
    plain = {"float": float, "int": int, "str": str, "bool": bool}
    typed = {}
    for name, value in values.items():
        expected = plain.get(str(fields[name].type))
        accepted = (int, float) if expected is float else expected
        if expected and (not isinstance(value, accepted) or isinstance(value, bool) != (expected is bool)):
            raise bad_plan(f"{name} is {value!r}, expected {expected.__name__}")
        typed[name] = float(value) if expected is float else value
    return kind(**typed)


def bad_plan(reason: str) -> StyleRigError:
    return StyleRigError(
        f"The training plan cannot be used: {reason}.",
        "Correct the configuration file; models/training/generator/studio.toml is an example.",
        code="bad_training_config",
    )
