"""evaluate sheets --ray: the pictures of all sheets, drawn by many processes or machines; the command puts them together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from backend.farm.jobs import Job

if TYPE_CHECKING:
    from backend.files.images import Origin
    from backend.server.inference import RigLibrary
    from models.evaluation.control.sheets import Cell, Order, Sheet
    from models.rigging import Rig


@dataclass
class SheetsJob(Job):
    """The cells of all sheets that are ordered, one after the other, as NNNN.png."""

    folder: Path
    numbers: list[int]
    model: str | None
    order: Order

    def rig(self, library: RigLibrary) -> Rig:
        return library.named(self.model)

    def opened(self, rig: Rig) -> Callable[[int], CellPicture]:
        from models.evaluation.control.sheets import ordered

        cells = [(cell, sheet.size) for sheet in ordered(rig, self.order) for cell in sheet.cells]
        return lambda number: CellPicture(self.path(number), *cells[number - 1])

    def path(self, number: int) -> Path:
        return self.folder / f"{number:04}.png"

    def put_together(self, sheets: list[Sheet], folder: Path) -> list[Path]:
        """Write the sheets of the pictures, which all are there."""
        import numpy as np
        from PIL import Image

        pictures = (np.asarray(Image.open(self.path(number))) for number in self.numbers)
        return [sheet.write(folder, [next(pictures) for _ in sheet.cells]) for sheet in sheets]


@dataclass(frozen=True, eq=False)
class CellPicture:
    """See ``farm.pictures.Picture``."""

    path: Path
    cell: Cell
    size: int

    @cached_property
    def origin(self) -> Origin:
        from backend.files import images, recipe

        drawn, controls = self.cell.portrait, recipe.controls_to_schema(self.cell.controls)
        shown = {"size": self.size, "backdrop": self.cell.backdrop, "controls": controls.model_dump(), "truncation": drawn.truncation}
        who = drawn.model, drawn.weights_hash, drawn.seed
        return images.Origin(*who, recipe.digest({"cell": [*who, shown]}))

    def is_there(self) -> bool:
        from backend.files.images import decodes, request_of

        return request_of(self.path) == self.origin.request and decodes(self.path)

    def draw(self, rig: Rig) -> None:
        from backend.files.images import png_texts
        from models.evaluation.control.sheets import picture
        from models.io.images import save_image

        save_image(self.path, picture(rig, self.cell, self.size), pnginfo=png_texts(self.origin))
