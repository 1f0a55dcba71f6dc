"""What sliders change in pictures: their own attribute, the others, and the rig, read by the network that judges the rig.

The judge was taught the numbers of studio-v1's scenes, hair and age among them, from rendered pictures. What it reads of
an attribute is measured in spreads, its standard deviation over many people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from models.colour import over_backdrop
from models.errors import StyleRigError
from models.evaluation.control.judge import READABLE, expressions
from models.evaluation.control.subjects import BATCH, FIRST_SEED, POPULATION, Reading
from models.face.parameters import part_sizes
from models.generators.semantic_mapping.studio_v1 import LOOKS, STYLES
from models.perception.face_regressor import Estimator
from models.rigging import Rig

TONE = "tone"  # what the judge calls the first of reflectance
LENGTH, CURL = slice(0, 4), 8  # of the numbers of a style
GOALS = {"ratio": 5.0, "pose": 1.0, "expression": 0.05}
RATIOS = 6  # sliders that have to reach theirs


def of_styles(measure: Callable[[tuple], float]) -> dict[str, float]:
    """A measure of haircuts as weights of the numbers that choose them."""
    values = {name: measure(style) for name, style in STYLES.items()}
    mean = sum(values.values()) / len(values)
    return {f"style_{name}": value - mean for name, value in values.items()}


READ = {  # attribute -> weights of what the judge reads
    **{name: {name: 1.0} for name in ("age", "beard", "moustache", "glasses", "make_up", "grey", "freckles")},
    "dark_hair": {"hair_dark": 1.0},
    "red_hair": {"hair_red": 1.0},
    "light_skin": {TONE: 1.0},
    "masculine": {"stubble": 1.0, "brow_thick": 1.0, "lashes": -1.0},
    "hair_length": of_styles(lambda style: sum(style[LENGTH])),
    "curly_hair": of_styles(lambda style: style[CURL]),
}


@dataclass(frozen=True)
class SliderFigures:
    """Of one slider over its range: change of its ``own`` attribute and mean change of the ``others`` in spreads, of ``pose`` in
    degrees and of ``expression``; ``own`` and ``others`` are None where the judge does not read it."""

    own: float | None
    others: float | None
    pose: float
    expression: float

    @property
    def ratio(self) -> float | None:
        return None if self.own is None or not self.others else self.own / self.others


@torch.no_grad()
def measure_sliders(
    rig: Rig, judge: Estimator, portraits: int = 8, truncation: float = 0.7, report: Callable[[str], None] = print
) -> dict[str, SliderFigures]:
    """The figures of every slider of a rig's model. Raises StyleRigError where it has none, or the judge does not read them, or another head."""
    ranges = rig.attribute_ranges()
    if not ranges:
        raise StyleRigError("This model has no attributes.", "Make a file of directions for its generator.", code="no_attributes")
    if judge.sizes != part_sizes(rig.face):
        raise StyleRigError(
            "This judge reads another face model than the rig's.",
            "Choose a judge that learned from pictures of that head.",
            code="bad_judge",
        )
    if judge.n_attributes != len(LOOKS):
        raise StyleRigError("This judge reads no attributes.", "Choose a judge that learned from the studio's pictures.", code="bad_judge")
    people = [rig.new_portrait(FIRST_SEED + number, truncation) for number in range(portraits)]
    seen = lambda amounts: look(rig, judge, np.stack([rig.edited(person, amounts).w for person in people]))
    others = [rig.new_portrait(FIRST_SEED + portraits + number, 1.0).w for number in range(POPULATION)]
    read = lambda reading: scores(reading, judge.sizes["identity"])
    spreads = {name: float(values.std()) for name, values in read(look(rig, judge, np.stack(others))).items()}
    still, found = seen({}), {}
    for name, ends in ranges.items():
        shown = [seen({name: end}) for end in ends]
        own, rest = apart(name, [read(reading) for reading in shown], spreads)
        found[name] = SliderFigures(own, rest, *rig_moved(still, shown))
        report(line(name, found[name]))
    return found


def look(rig: Rig, judge: Estimator, w: np.ndarray) -> Reading:
    """What the judge reads in pictures of codes (N, L, 512)."""
    names = expressions(judge, rig.face, READABLE)
    parts = []
    for part in torch.from_numpy(w).to(rig.device).split(BATCH):
        colour, alpha = rig.renderer.synthesize(part, "exact")
        parts.append(Reading.of(judge, over_backdrop(colour, alpha), rig.face, names))
    return Reading.joined(parts)


def scores(reading: Reading, identities: int) -> dict[str, np.ndarray]:
    """Attribute -> what is read of it (N,), in no unit. An embedding is identity, reflectance, looks."""
    looks, tone = reading.embedding[:, -len(LOOKS) :], reading.embedding[:, identities]
    column = lambda name: tone if name == TONE else looks[:, LOOKS.index(name)]
    return {name: np.sum([weight * column(part) for part, weight in weights.items()], axis=0) for name, weights in READ.items()}


def apart(name: str, ends: list[dict[str, np.ndarray]], spreads: Mapping[str, float]) -> tuple[float | None, float | None]:
    """Mean change in spreads from one end of a slider to the other: of its own attribute, and of the others; None where it is not read."""
    low, high = ends
    change = {other: float(np.abs(high[other] - low[other]).mean()) / spread for other, spread in spreads.items()}
    own = change.pop(name, None)
    return (None, None) if own is None else (own, float(np.mean(list(change.values()))))


def rig_moved(still: Reading, ends: list[Reading]) -> tuple[float, float]:
    """Mean change from 0 to an end: of yaw or pitch, whichever is larger, in degrees, and of the expressions that the judge reads."""
    moved = {axis: np.mean([np.abs(end.values[axis] - before).mean() for end in ends]) for axis, before in still.values.items()}
    pose = max(float(moved.pop("yaw")), float(moved.pop("pitch")))
    mimic = [value for axis, value in moved.items() if not axis.startswith("light_")]
    return pose, float(np.mean(mimic)) if mimic else 0.0


def line(name: str, found: SliderFigures) -> str:
    """One slider as a row of a table in Markdown."""
    shown = lambda value, form: "–" if value is None else format(value, form)
    cells = (shown(found.own, ".2f"), shown(found.others, ".2f"), shown(found.ratio, ".1f"), f"{found.pose:.2f}", f"{found.expression:.3f}")
    return f"| {name} | {' | '.join(cells)} |"


def table(found: Mapping[str, SliderFigures]) -> str:
    """All sliders, and how many reach the goals, in Markdown."""
    head = ["| slider | own, spreads | others | ratio | pose, degrees | expression |", "|---|---|---|---|---|---|"]
    ratios = sum(one.ratio is not None and one.ratio >= GOALS["ratio"] for one in found.values())
    kept = sum(one.pose <= GOALS["pose"] and one.expression <= GOALS["expression"] for one in found.values())
    reached = f"{ratios} sliders reach {GOALS['ratio']:g} : 1 (goal {RATIOS}); {kept} of {len(found)} keep pose within {GOALS['pose']:g}° and expression within {GOALS['expression']:g}."
    return "\n".join([*head, *(line(name, one) for name, one in found.items()), "", reached])
