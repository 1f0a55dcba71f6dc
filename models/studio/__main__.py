"""``python -m models.studio --count N --size 128 --seed S --output DIR``: render a data set of portraits.

Writes shards of pictures (premultiplied sRGB RGBA), latents and truth, an index and a contact sheet.
Each shard appears whole or not at all and depends only on seed and number, so a run that was
stopped goes on where it was, and several processes can share the work.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models.errors import StyleRigError
from models.face import load_face_model
from models.files import write_atomic
from models.studio.painter import landmarks_of, paint, prepare
from models.studio.scene import latent_size, layout, scene_from_latent

SHARD = 256  # pictures in a file


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m models.studio", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1024, help="pictures (rounded up to whole shards)")
    parser.add_argument("--size", type=int, default=128, help="side of a picture in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--worker", default="0/1", help="I/N renders every N-th shard, from the I-th")
    return parser.parse_args(arguments)


def render_shard(number: int, options: argparse.Namespace, assets) -> None:
    """Render one shard and write its three files, the pictures last (they mark it complete)."""
    generator = torch.Generator().manual_seed(options.seed * 1_000_003 + number)
    latent = torch.randn(SHARD, latent_size(assets.face), generator=generator)
    pictures, truths, landmarks = [], [], []
    for rows in latent.split(8):
        scene = scene_from_latent(rows, assets.face)
        pictures.append(paint(scene, assets, options.size).numpy())
        truths.append(scene.parameters.vector().numpy())
        landmarks.append(landmarks_of(scene, assets.face).numpy())
    stem = f"{number:05d}"
    save = lambda name, array: write_atomic(options.output / name, array_bytes(array))
    save(f"latents-{stem}.npy", latent.numpy())
    buffer = io.BytesIO()
    np.savez(buffer, parameters=np.concatenate(truths), landmarks=np.concatenate(landmarks))
    write_atomic(options.output / f"truth-{stem}.npz", buffer.getvalue())
    save(f"pictures-{stem}.npy", np.concatenate(pictures))


def array_bytes(array: np.ndarray) -> bytes:
    """An array in numpy's file format."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def write_index(options: argparse.Namespace, face) -> None:
    """What a reader needs to know about the set."""
    places = {name: [place.start, place.stop] for name, place in layout(face).items()}
    index = {"size": options.size, "shard": SHARD, "seed": options.seed, "latents": latent_size(face), "layout": places}
    write_atomic(options.output / "index.json", json.dumps(index, indent=1).encode())


def contact_sheet(options: argparse.Namespace, columns: int = 16, rows: int = 8) -> None:
    """The first pictures over grey, as one PNG."""
    pictures = np.load(options.output / "pictures-00000.npy", allow_pickle=False)[: columns * rows].astype(np.float32)
    over = pictures[..., :3] + (255 - pictures[..., 3:]) * 0.5
    side = options.size
    sheet = over.reshape(rows, columns, side, side, 3).transpose(0, 2, 1, 3, 4).reshape(rows * side, columns * side, 3)
    buffer = io.BytesIO()
    Image.fromarray(sheet.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    write_atomic(options.output / "sheet.png", buffer.getvalue())


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    worker, workers = (int(part) for part in options.worker.split("/"))
    options.output.mkdir(parents=True, exist_ok=True)
    face = load_face_model(None)
    write_index(options, face)
    shards = [n for n in range(-(-options.count // SHARD)) if n % workers == worker]
    missing = [n for n in shards if not (options.output / f"pictures-{n:05d}.npy").exists()]
    assets = prepare(face)
    start = time.monotonic()
    for done, number in enumerate(missing, start=1):
        render_shard(number, options, assets)
        each = (time.monotonic() - start) / done
        left = each * (len(missing) - done)
        print(f"shard {done}/{len(missing)}: {each / SHARD * 1000:.0f} ms a picture, {left / 60:.1f} min left", flush=True)
        if number == 0:
            contact_sheet(options)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except StyleRigError as error:
        sys.exit(str(error))
