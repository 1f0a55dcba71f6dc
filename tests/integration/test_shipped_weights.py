"""What ships in models/weights: faces, small enough, each with its card."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.generators import latents_from_seed, load_generator

pytestmark = pytest.mark.slow

WEIGHTS = Path(__file__).parents[2] / "models" / "weights"
SIZE_LIMIT = 70e6  # bytes, all files together


@pytest.fixture(scope="module")
def portraits() -> np.ndarray:
    """100 samples at truncation 0.7 as the generator shows them, (100, H, W, 3) uint8."""
    generator = load_generator(WEIGHTS / "stylerig-generator.safetensors")
    pictures = []
    for seed in range(100):
        w = generator.mapping(latents_from_seed(seed, 1, generator.z_dim), truncation_psi=0.7)
        picture = generator.synthesis(w)[0].detach()
        pictures.append(((picture + 1) * 127.5).clamp(0, 255).byte().permute(1, 2, 0).numpy())
    return np.stack(pictures)


def test_samples_are_faces(portraits):
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    found = 0
    for picture in portraits:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        # The cascade wants some surroundings and faces of more than its 24 pixels.
        grey = cv2.copyMakeBorder(cv2.resize(grey, (256, 256), interpolation=cv2.INTER_CUBIC), *[40] * 4, cv2.BORDER_REPLICATE)
        found += len(cascade.detectMultiScale(grey, scaleFactor=1.05, minNeighbors=3)) > 0
    print(f"a frontal face was found in {found} of 100 samples")
    assert found >= 95, f"a face was found in only {found} of 100 samples"


def test_samples_differ(portraits):
    flat = portraits.reshape(100, -1).astype(np.float32)
    distance = np.sqrt(((flat[:50] - flat[50:]) ** 2).mean(axis=1))
    assert distance.min() > 8 and np.median(distance) > 20  # of 255


def test_matte_separates_head_from_background():
    generator = load_generator(WEIGHTS / "stylerig-generator.safetensors")
    w = generator.mapping(latents_from_seed(0, 16, generator.z_dim), truncation_psi=0.7)
    _, alpha = generator.foreground(w)
    middle = alpha.shape[-1] // 2
    assert alpha[:, 0, middle - 8 : middle + 8, middle - 8 : middle + 8].mean() > 0.97
    assert alpha[:, 0, :6, :6].mean() < 0.1


def test_total_size_and_cards():
    files = sorted(WEIGHTS.glob("*.safetensors"))
    assert {file.stem for file in files} >= {"stylerig-generator", "stylerig-reconstruction", "stylerig-rignet"}
    assert sum(file.stat().st_size for file in files) <= SIZE_LIMIT
    for file in files:
        card = file.with_suffix(".md").read_text().lower()
        for word in ("trained", "data", "measured", "python -m"):
            assert word in card, f"{file.stem}.md does not say: {word}"
