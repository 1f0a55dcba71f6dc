"""All figures of a generator against the pictures that it was taught with, each beside its floor."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.data.image_set import ImageSet, as_tensor
from models.errors import StyleRigError
from models.evaluation.generator.detection import detection_rate
from models.evaluation.generator.distances import frechet_distance, kernel_distance, nearest, precision_recall
from models.evaluation.generator.drawn import FACES, SAMPLES, Amounts, Drawn
from models.evaluation.generator.inception import Inception
from models.evaluation.generator.path_length import SPACES, mean_distance, path_length
from models.evaluation.generator.samples import BATCH, batches, draw, over, random_z
from models.evaluation.generator.separability import attributes_of, separability
from models.evaluation.generator.sheets import neighbours_sheet, write_interpolation, write_sheets
from models.generators import Generator
from models.io.images import save_image
from models.perception.features import SIZE, StudioFeatures

LEAST = 64  # real pictures on each side of a floor
DETECTED = 1000
PATHS = 1000  # pairs
NEIGHBOURS, SHOWN = 5, 8


class GeneratorEvaluation:
    """Measures ``generator`` against the set in ``data``; ``figures`` fills as the parts run.

    The real pictures are split in two: A stands for the set, B against A is the floor. Random z
    are those of ``seed``; a picture's features are those of ``features``. ``measured(kind, number)`` are the parts of ``drawn``,
    which others may have done.
    """

    def __init__(
        self,
        generator: Generator,
        data: Path,
        features: StudioFeatures,
        count: int = 5000,
        inception: Inception | None = None,
        seed: int = 0,
        say: Callable[[str], None] = print,
    ):
        self.generator, self.features, self.inception, self.seed, self.say = generator, features, inception, seed, say
        self.folder = data
        self.real = ImageSet(data, 0 if small(data) else SIZE, ("latent",), "training", most=2 * count)
        self.count = min(count, len(self.real) // 2)
        if self.count < LEAST:
            raise StyleRigError(
                f"{len(self.real)} training pictures are too few to measure against.",
                f"Render at least {2 * LEAST} of them.",
                code="no_training_data",
            )
        amounts = Amounts(self.count, min(PATHS, self.count), min(DETECTED, self.count), seed, self.real.size)
        self.drawn = Drawn(generator, features, inception, amounts)
        self.measured: Callable[[str, int], dict[str, Tensor]] = self.drawn
        self.figures: dict[str, Any] = {}

    def run(self, output: Path | None = None) -> dict[str, Any]:
        """Every figure; sheets and the video go to ``output``."""
        self.see_real()
        self.see_generated()
        self.see_held_out()
        self.distances()
        self.manifolds()
        self.smoothness()
        self.separability()
        self.held_out()
        self.detection()
        if self.inception is not None:
            self.fid(self.inception)
        if output is not None:
            self.write(output)
        return self.figures

    def note(self, name: str, **values: Any) -> None:
        self.figures[name] = {key: round(v, 6) if isinstance(v, float) else v for key, v in values.items()}
        self.say(f"{name}: " + ", ".join(f"{key} {value}" for key, value in self.figures[name].items() if isinstance(value, (int, float))))

    def real_batches(self, rows: np.ndarray, title: str = "") -> Iterator[Tensor]:
        from tqdm import tqdm

        starts = range(0, len(rows), BATCH)
        for start in tqdm(starts, title, unit="batch", file=sys.stderr, disable=None if title else True):
            yield as_tensor(self.real.pictures[rows[start : start + BATCH]])

    def see(self, pictures: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
        """Features (N, D) and the truth read (N, T) of batches."""
        seen = [(self.features(part), self.features.read(part)) for part in pictures]
        return torch.cat([a for a, _ in seen]), torch.cat([b for _, b in seen])

    def see_real(self) -> None:
        self.rows = np.random.default_rng(self.seed).permutation(len(self.real))[: 2 * self.count]
        self.real_features, self.real_read = self.see(self.real_batches(self.rows, "real pictures"))

    def together(self, kind: str, title: str) -> dict[str, Tensor]:
        """All parts of a kind, one after the other, with progress on stderr."""
        from tqdm import tqdm

        numbers = [number for one, number in self.drawn.parts() if one == kind]
        parts = [self.measured(kind, number) for number in tqdm(numbers, title, unit="batch", file=sys.stderr, disable=None)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def see_generated(self) -> None:
        self.samples = self.together(SAMPLES, "samples")
        self.features_drawn, self.read = self.samples["features"], self.samples["read"]

    def halves(self) -> tuple[Tensor, Tensor]:
        return self.real_features[: self.count], self.real_features[self.count :]

    def distances(self) -> None:
        first, second = self.halves()
        for name, measure in (("frechet", frechet_distance), ("kernel", kernel_distance)):
            value, floor = measure(self.features_drawn, first), measure(second, first)
            # An unbiased estimate of what is zero may lie below it: no ratio then.
            ratio = {"ratio": value / floor} if floor > 0 else {}
            self.note(name, value=value, floor=floor, **ratio, samples=self.count, features=self.features.name)

    def see_held_out(self) -> None:
        """Pictures that no training saw."""
        held = ImageSet(self.folder, self.real.size, ("latent",), "held out")
        self.held_latents = held.truth.get("latent")
        parts = np.array_split(held.pictures, -(-len(held) // BATCH))
        self.held_features, self.held_read = self.see(as_tensor(part) for part in parts)

    def manifolds(self) -> None:
        """Against held-out renders; the floor is other real pictures against them."""
        count = min(len(self.held_features), self.count)
        held = self.held_features[:count]
        precision, recall = precision_recall(held, self.features_drawn[:count])
        floor = precision_recall(held, self.real_features[:count])
        self.note(
            "manifold",
            precision=precision,
            recall=recall,
            precision_floor=floor[0],
            recall_floor=floor[1],
            samples=count,
            features=self.features.name,
        )

    def smoothness(self) -> None:
        pairs = self.drawn.amounts.pairs
        scale = mean_distance(as_tensor(self.real.pictures[self.rows[:LEAST]]), self.features)
        lengths = {space: path_length(self.together(space, f"path length in {space}")["lengths"]) for space in SPACES}
        self.note("path_length", **lengths, between_real_pictures=scale, pairs=pairs, features=self.features.name)

    def separability(self) -> None:
        """The floor is the same on real pictures, whose own latents are separated."""
        start, stop = self.features.header["truth"]["latent"]
        attributes, index = {}, self.real.source.index
        if index is not None and self.held_latents is not None and self.real.latent_dim == stop - start:
            attributes = attributes_of(index, torch.from_numpy(self.held_latents), self.held_read[:, start:stop])
        if not attributes:
            self.note("separability", reason="the features read no attribute of this set well enough")
            return
        std, read = self.features.truth_spread[start:stop], self.read[:, start:stop]
        with torch.no_grad():
            w = self.generator.mapping(self.drawn.z.to(self.generator.w_avg.device))[:, 0].cpu()
        in_w, bits = separability(w, read, attributes, std)
        if not bits:
            self.note("separability", reason="almost all samples lie on one side of every attribute")
            return
        in_z, _ = separability(self.drawn.z, read, attributes, std)
        latents = torch.from_numpy(self.real.truth["latent"][self.rows])
        floor, _ = separability(latents, self.real_read[:, start:stop], attributes, std)
        self.note(
            "separability",
            w=in_w,
            z=in_z,
            floor=floor,
            samples=self.count,
            attributes={name: round(value, 4) for name, value in bits.items()},
        )

    def held_out(self) -> None:
        """Mean absolute error of matte and colour, 0..1, where latents determine the picture."""
        latents = self.generator.metadata.get("scene_latents", 0)
        if not latents or latents != self.real.latent_dim or self.generator.img_channels != 4:
            self.note("held_out", reason="the generator was not taught with the latents of this set")
            return
        size = min(self.generator.resolution, self.real.file_size)
        data = ImageSet(self.folder, size, ("latent",), "held out")
        free = random_z(self.generator, len(data), self.seed + 2)[:, latents:]
        z = torch.cat((torch.from_numpy(data.truth["latent"]), free), dim=1)
        errors, start = [], 0
        for drawn in batches(self.generator, z, title="held-out scenes"):
            target = as_tensor(data.pictures[start : start + len(drawn)])
            if drawn.shape[-1] != size:
                drawn = torch.nn.functional.avg_pool2d(drawn, drawn.shape[-1] // size)
            errors.append((drawn - target).abs().mean((2, 3)) / 2)
            start += len(drawn)
        error = torch.cat(errors).mean(0)
        self.note("held_out", matte=float(error[3]), colour=float(error[:3].mean()), samples=len(data))

    def detection(self) -> None:
        count, drawn = self.drawn.amounts.faces, self.together(FACES, "detection")
        if not drawn:
            self.note("detection", reason="OpenCV is missing: pip install 'opencv-python<5'")
            return
        size = min(self.generator.resolution, self.real.file_size)
        data = ImageSet(self.folder, size, (), "training", most=count)
        real = detection_rate(as_tensor(part) for part in np.array_split(data.pictures, -(-len(data) // BATCH)))
        self.note("detection", samples_at_psi_07=float(drawn["found"].double().mean()), training_pictures=real, samples=count)

    def fid(self, inception: Inception) -> None:
        """FID proper, on pictures over grey, both sets at the features' size for a fair floor."""
        see = lambda parts: torch.cat([inception(over(part, 0.5)) for part in parts])
        first = see(self.real_batches(self.rows[: self.count], "Inception, real"))
        second = see(self.real_batches(self.rows[self.count :], "Inception, floor"))
        value, floor = frechet_distance(self.samples["inception"], first), frechet_distance(second, first)
        self.note("fid", value=value, floor=floor, samples=self.count, picture_size=self.real.size)

    def write(self, folder: Path) -> None:
        write_sheets(self.generator, folder, self.seed)
        z = random_z(self.generator, SHOWN, self.seed)
        shown = draw(self.generator, self.generator.mapping(z.to(self.generator.w_avg.device), truncation_psi=0.7))
        _, rows = nearest(self.features(shown), self.real_features, NEIGHBOURS)
        real = as_tensor(self.real.pictures[self.rows[rows.flatten().numpy()]])
        if real.shape[-1] != shown.shape[-1]:
            real = torch.nn.functional.interpolate(real, shown.shape[-2:], mode="bilinear", antialias=True)
        save_image(folder / "nearest.jpg", neighbours_sheet(shown, real.unflatten(0, (SHOWN, NEIGHBOURS))))
        write_interpolation(self.generator, folder / "interpolation.mp4", self.seed)


def small(data: Path) -> bool:
    """Whether the set's pictures are smaller than what the features see."""
    from models.data.image_folder import open_folder

    return 0 < open_folder(data).size < SIZE
