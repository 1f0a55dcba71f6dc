"""All methods on the same requests, their table, and the sheet of the same columns for each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.colour import over_backdrop
from models.errors import StyleRigError
from models.evaluation.methods.disco import DiscoMethod
from models.evaluation.methods.judge import Judge
from models.evaluation.methods.linear import SAMPLES, Codes, LinearMethod, interfacegan, sefa, steering
from models.evaluation.methods.measure import FIRST_SEED, VALUES, measure, people_scale, request
from models.evaluation.methods.method import Method
from models.evaluation.methods.rigs import GuidedMethod, RigNetMethod, stage_minutes
from models.evaluation.plots import Series, line_plot
from models.io.images import image_grid, save_image
from models.rigging import Controls, Rig
from models.rigging.folders import WEIGHTS

RIGNETS = {"joint": "RigNet, joint (ours)", "paper": "RigNet, as published", "simultaneous": "RigNet, as published, all at once"}
LINEAR = {"steering": (steering, "steering (linear fit)"), "interfacegan": (interfacegan, "InterFaceGAN"), "sefa": (sefa, "SeFa")}
NAMES = ("guided", *RIGNETS, *LINEAR, "disco")
COLUMNS = {  # of the sheet: label -> axis and value; None is the portrait itself
    "portrait": None, "yaw -30": ("yaw", -30.0), "yaw +30": ("yaw", 30.0), "smile": ("smile", 1.0), "blink": ("blink", 1.0),
    "light left": ("light", 60.0), "light right": ("light", -60.0),
}  # fmt: skip
SAME = ("judge", "portraits", "people")  # what figures depend on beside the method
PEOPLE = 48  # whose readings give the deviations
TILE = 128
BEGIN, END = "<!-- methods -->", "<!-- /methods -->"


def open_methods(
    rig: Rig,
    guided: Path | None,
    disco: Path | None,
    chosen: Collection[str],
    folder: Path = WEIGHTS,
    samples: int = SAMPLES,
    device: str = "cpu",
) -> Iterator[tuple[str, Method]]:
    """The ``chosen`` of NAMES that there are weights of, one after the other."""
    if guided and "guided" in chosen:
        yield "guided", GuidedMethod(Rig.load(guided, device))
    minutes = stage_minutes(folder, rig.name)
    for name, title in RIGNETS.items():
        if name in chosen:
            yield name, RigNetMethod(rig, name, title, minutes)
    codes = Codes.of(rig, samples) if set(LINEAR) & set(chosen) else None
    for name, (find, title) in LINEAR.items():
        if codes is not None and name in chosen:
            yield name, LinearMethod(rig, codes, find, title)
    if disco and "disco" in chosen:
        yield "disco", DiscoMethod(disco, device)


@torch.no_grad()
def evaluate_methods(
    rig: Rig,
    judge: Judge,
    guided: Path | None = None,
    disco: Path | None = None,
    chosen: Collection[str] = NAMES,
    portraits: int = 8,
    plots: Path | None = None,
    say: Callable[[str], None] = print,
    folder: Path = WEIGHTS,
    people: int = PEOPLE,
    samples: int = SAMPLES,
    device: str = "cpu",
) -> dict[str, Any]:
    """Figures of each method for JSON; sheet and plots go into ``plots``. Deviations among people are those of the rig's own.

    Raises StyleRigError for a judge that had part in the training of a method.
    """
    scale = people_scale(RigNetMethod(rig, "joint", ""), judge, people)
    found, rows = {}, {}
    for name, method in open_methods(rig, guided, disco, chosen, folder, samples, device):
        generator = getattr(method, "generator", None)
        judge.check_apart(generator.metadata if generator is not None else {})
        found[name] = measure(method, judge, portraits, scale)
        rows[method.title] = sheet_row(method)
        say(f"{method.title}: done")
    if not found:
        raise StyleRigError(
            "There is no method to compare.", f"Choose of {', '.join(NAMES)}; guided and disco need weights.", code="no_method"
        )
    if plots:
        write_plots(plots, found, rows)
    missing = [name for name in NAMES if name not in found]
    return {"judge": judge.name, "portraits": portraits, "people": people, "not_run": missing, "methods": found}


def joined(results: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Results with those ``before`` of methods that were not asked for now, if the same judge saw as many portraits and people."""
    kept = before.get("methods", {}) if all(before.get(name) == results[name] for name in SAME) else {}
    known = kept | results["methods"]
    methods = {name: known[name] for name in NAMES if name in known}
    return results | {"not_run": [name for name in NAMES if name not in methods], "methods": methods}


def sheet_row(method: Method) -> list[np.ndarray | torch.Tensor]:
    """The columns of the sheet for the method's first portrait, (3, TILE, TILE) 0–1."""
    portrait = method.portrait(FIRST_SEED)
    asked = [Controls() if each is None else request(method, portrait, *each) for each in COLUMNS.values()]
    pictures = torch.stack([method.picture(portrait, controls) for controls in asked])
    shown = over_backdrop(pictures[:, :3], pictures[:, 3:]).clamp(0, 1)
    return list(torch.nn.functional.interpolate(shown, size=(TILE, TILE), mode="bilinear", antialias=True).cpu())


def write_plots(folder: Path, found: dict[str, Any], rows: dict[str, list]) -> None:
    """sheet.jpg, and for each axis that the judge reads what was achieved against what was requested."""
    labels = [label if column else title[:22] for title in rows for column, label in enumerate(COLUMNS)]
    save_image(folder / "sheet.jpg", image_grid([tile for row in rows.values() for tile in row], len(COLUMNS), gap=2, labels=labels))
    plots = []
    for axis, values in VALUES.items():
        lines = [Series(each["title"], np.array(list(zip(values, each["axes"][axis]["achieved"], strict=True))))
                 for each in found.values() if "achieved" in each["axes"][axis]]  # fmt: skip
        if lines:
            plots.append(line_plot(axis, lines, "requested", "achieved, median", diagonal=True))
    if plots:
        save_image(folder / "axes.png", image_grid(plots, 3, background=(255, 255, 255)))


def table(results: dict[str, Any]) -> list[str]:
    """The lines of a Markdown table, a row a method."""
    header = ("method", "yaw", "pitch", "smile", "blink", "jaw", "light", "landmarks", "leakage", "identity", "background", "DS pose", "DS expression",
              "DS light", "images/s", "training")  # fmt: skip
    rows = [row_of(each) for each in results["methods"].values()]
    return [line(header), "|---" * len(header) + "|", *map(line, rows)]


def line(cells: Collection[str]) -> str:
    return f"| {' | '.join(cells)} |"


def row_of(found: dict[str, Any]) -> list[str]:
    """A method's cells."""
    axes, scores = found["axes"], found["disentanglement"]
    follows = [f"{axes[axis]['slope']:.2f} / {axes[axis]['r2']:.2f}" if "slope" in axes[axis] else "–" for axis in VALUES]
    gain, way = (mean_of(axes, name) for name in ("landmark_gain", "landmark_direction"))
    apart = [f"{scores['variance'][name]:.3g} / {scores['standard_deviation'][name]:.3g}" if name in scores["variance"] else "–"
             for name in ("pose", "expression", "light")]  # fmt: skip
    rest = [mean_of(axes, name) for name in ("leakage", "identity", "background")]
    return [found["title"], *follows, f"{gain} / {way}", *rest, *apart, f"{found['images_per_second']:.1f}", found["training"]]


def mean_of(axes: dict[str, Any], name: str) -> str:
    """The mean of a figure over the axes that have it."""
    values = [axis[name] for axis in axes.values() if axis.get(name) is not None]
    return f"{np.mean(values):.2f}" if values else "–"


def fill_page(text: str, results: dict[str, Any]) -> str:
    """A page's text with the table between its marks. Raises StyleRigError where it has none."""
    if BEGIN not in text or END not in text or text.index(BEGIN) > text.index(END):
        raise StyleRigError("The page has no place for the table.", f"Write {BEGIN} and {END} where it is to stand.", code="bad_page")
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    told = f"Judge: {results['judge']}; {results['portraits']} portraits a method. Not run: {', '.join(results['not_run']) or 'none'}."
    return "\n".join([before + BEGIN, told, "", *table(results), END]) + after
