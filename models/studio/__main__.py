"""``python -m models.studio --count N --size 256 --seed S --output DIR``: photograph people that do not exist.

Every picture depends only on seed and number, is written whole or not at all, and carries its truth
beside it; what is there already is kept, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock

import cv2
import numpy as np
import torch
from tqdm import tqdm

from models.errors import StyleRigError
from models.face import FaceModel, load_face_model
from models.face.alignment import project_landmarks
from models.face.camera import PORTRAIT_CAMERA
from models.face.parameters import RigParameters
from models.io.atomic_write import write_atomic
from models.studio.develop import develop
from models.studio.heads import studio_head
from models.studio.person import Assets, person_message, prepare, stage_message
from models.studio.process import CyclesProcess
from models.studio.scene import LOOKS, latent_size, layout, scene_from_latent

FORMAT = 2
IN_FOLDER = 1000  # pictures in one sub-folder
# Where a look's number parts those who have it from those who don't: what linear separability is measured on.
ATTRIBUTES = {"glasses": 1.15, "beard": 0.75, "moustache": 0.9, "make_up": 0.1, "age": 0.0, "hair_length": 0.0, "hair_dark": 0.0, "freckles": 0.9}
SHEET_COLUMNS, SHEET_ROWS = 12, 6


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m models.studio", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=positive, default=1000, help="how many pictures")
    parser.add_argument("--size", type=positive, default=256, help="side of a picture in pixels")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other people")
    parser.add_argument("--output", type=Path, required=True, help="a folder; pictures in it are kept")
    parser.add_argument("--face-model", type=Path, help="heads of this ICT-FaceKit folder instead of our own")
    parser.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="Blender processes, one thread each")
    parser.add_argument("--blender-python", default=default_python(), help="an interpreter that has bpy (default: %(default)s)")
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    """A whole number above zero."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above zero")
    return int(text)


def default_python() -> str:
    """The interpreter with bpy that ``build.py setup`` makes."""
    folder = Path(__file__).resolve().parents[2] / ".venv-bpy-5.2"
    return str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def picture_path(output: Path, number: int) -> Path:
    """Where picture ``number`` lies; its truth has the same name and the ending .npz."""
    return output / f"{number // IN_FOLDER:05d}" / f"{number:06d}.png"


def latent_of(seed: int, number: int, face: FaceModel) -> torch.Tensor:
    """The scene vector (1, S) of one picture."""
    return torch.randn(1, latent_size(face), generator=torch.Generator().manual_seed(seed * 10_000_019 + number))


def write_index(options: argparse.Namespace, face: FaceModel, head: str) -> None:
    """What a reader needs to know; refuses a folder that was begun with other settings."""
    places = lambda slices: {name: [place.start, place.stop] for name, place in slices.items()}
    index = {
        "format": FORMAT,
        "size": options.size,
        "seed": options.seed,
        "count": options.count,
        "latents": latent_size(face),
        "layout": places(layout(face)),
        "parameters": places(RigParameters.slices(face)),
        "head": head,
        "expression_names": face.expression_names,
        "attributes": {name: [layout(face)["looks"].start + LOOKS.index(name), split] for name, split in ATTRIBUTES.items()},
        "camera": {"distance": PORTRAIT_CAMERA.distance, "half_width": PORTRAIT_CAMERA.half_width},
    }
    path = options.output / "index.json"
    if path.exists():
        old = json.loads(path.read_text())
        different = [key for key in ("format", "size", "seed", "head", "latents", "layout") if old.get(key) != index[key]]
        if different:
            raise StyleRigError(
                f"{options.output} holds pictures of another set: {', '.join(different)} differ.",
                "Give the settings that the set was begun with, or another --output.",
                code="other_set",
            )
        index["count"] = max(options.count, old["count"])
    write_atomic(path, json.dumps(index, indent=1).encode())


def truth_bytes(scene, row: int, latent: torch.Tensor, face: FaceModel, mask: np.ndarray) -> bytes:
    """The truth of one picture as an .npz."""
    parameters = scene.parameters[row : row + 1]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        latent=latent[0].numpy(),
        parameters=parameters.vector()[0].numpy(),
        landmarks=project_landmarks(face, parameters)[0, :, :2].numpy(),
        mask=np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8),
    )
    return buffer.getvalue()


def png_bytes(picture: np.ndarray) -> bytes:
    """RGBA (H, W, 4) uint8 as PNG; the colour stays premultiplied, which PNG itself cannot say."""
    done, data = cv2.imencode(".png", picture[..., [2, 1, 0, 3]], [cv2.IMWRITE_PNG_COMPRESSION, 4])
    assert done
    return data.tobytes()


class Photographer:
    """One worker: prepares a person while its Blender process renders the one before."""

    def __init__(self, options: argparse.Namespace, face: FaceModel, assets: Assets, worker: int):
        self.options, self.face, self.assets = options, face, assets
        stage = stage_message(assets, options.size, threads=1)
        self.process = CyclesProcess(options.blender_python, stage, options.output / f"blender-{worker}.log")

    def shoot(self, numbers: list[int], done, stop: Event) -> None:
        """Render and write these pictures until ``stop`` is set; ``done()`` is called after each."""
        pending = None
        try:
            for number in [*numbers, None]:
                following = self.prepare(number) if number is not None and not stop.is_set() else None
                if pending:
                    self.write(pending)
                    done()
                if following:
                    self.process.start(following["person"])
                pending = following
                if not pending:
                    break
        finally:
            self.process.close()

    def prepare(self, number: int) -> dict:
        """One person, ready to be rendered."""
        latent = latent_of(self.options.seed, number, self.face)
        scene = scene_from_latent(latent, self.face)
        person = person_message(scene, 0, self.assets, seed=number)
        return {"number": number, "latent": latent, "scene": scene, "person": person}

    def write(self, shot: dict) -> None:
        """Fetch the rendered picture and write it after its truth: the picture's file marks it complete."""
        frame = self.process.finish()
        path = picture_path(self.options.output, shot["number"])
        path.parent.mkdir(parents=True, exist_ok=True)
        truth = truth_bytes(shot["scene"], 0, shot["latent"], self.face, frame["face"])
        write_atomic(path.with_suffix(".npz"), truth)
        write_atomic(path, png_bytes(develop(frame["colour"])))


def contact_sheet(options: argparse.Namespace, side: int = 160, backdrop: float = 0.36) -> None:
    """The first pictures over grey, as sheet.jpg."""
    paths = [path for number in range(SHEET_COLUMNS * SHEET_ROWS) if (path := picture_path(options.output, number)).exists()]
    rows = -(-len(paths) // SHEET_COLUMNS)
    sheet = np.full((rows * side, SHEET_COLUMNS * side, 3), 255 * backdrop, np.uint8)
    for place, path in enumerate(paths):
        picture = cv2.resize(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
        over = picture[..., :3] + (255 - picture[..., 3:]) * backdrop
        row, column = divmod(place, SHEET_COLUMNS)
        sheet[row * side : (row + 1) * side, column * side : (column + 1) * side] = over.clip(0, 255)
    done, data = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
    assert done
    write_atomic(options.output / "sheet.jpg", data.tobytes())


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    torch.set_num_threads(1)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StyleRigError(f"{options.output} can't be made: {error.strerror}", "Choose another --output.", code="bad_folder") from error
    face, head = load_face_model(None), studio_head(options.face_model)
    write_index(options, face, head.name)
    missing = [number for number in range(options.count) if not picture_path(options.output, number).exists()]
    if missing:
        photograph(options, face, prepare(head), missing)
    contact_sheet(options)
    return 0


def photograph(options: argparse.Namespace, face: FaceModel, assets: Assets, missing: list[int]) -> None:
    """Share the missing pictures among the workers, under one progress bar; the first error stops them all."""
    workers = min(options.workers, len(missing))
    lock, stop = Lock(), Event()
    with tqdm(total=options.count, initial=options.count - len(missing), unit="picture", desc="photographing") as bar:

        def done() -> None:
            with lock:
                bar.update()

        def work(worker: int) -> None:
            try:
                Photographer(options, face, assets, worker).shoot(missing[worker::workers], done, stop)
            except BaseException:
                stop.set()
                raise

        with ThreadPoolExecutor(workers) as pool:
            jobs = [pool.submit(work, worker) for worker in range(workers)]
            try:
                for job in jobs:
                    job.result()
            finally:
                stop.set()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except StyleRigError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command goes on where this left off.")
