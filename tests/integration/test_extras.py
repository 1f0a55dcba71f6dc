"""What draws a portrait needs no package of the extras, and what does need one says which."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from backend.farm import ray_crew
from models import extras
from models.errors import StyleRigError
from models.face import load_face_model

ROOT = Path(__file__).resolve().parents[2]
MODULES = {"imageio-ffmpeg": "imageio_ffmpeg", "opencv-python": "cv2"}  # of packages whose modules have another name
WITHOUT_EXTRAS = """
import importlib, sys
sys.path.insert(0, {root!r})
sys.modules |= dict.fromkeys({modules!r})  # None: importing it raises ModuleNotFoundError
"""
DRAW = """
import numpy as np
from backend.cli.main import COMMANDS
from backend.server.app import create_app
from models.face import load_face_model
from models.generators import Generator, GeneratorConfig
from models.rigging import Controls
from tests.helpers.untrained_rig import untrained_rig
for name in ("serve", "render", "sample", "convert", "doctor"):
    importlib.import_module(COMMANDS[name][0])
rig = untrained_rig(load_face_model(None), Generator.create(GeneratorConfig(resolution=32, channels={4: 8, 8: 8, 16: 8, 32: 8})))
frame = rig.frame(rig.new_portrait(seed=1), Controls(rotation=(0.1, 0.0, 0.0)))
assert np.isfinite(frame["Combined"]).all()
print(sorted(frame))
"""


def packages() -> dict[str, str]:
    """Package -> extra, for all that an end user has no need of."""
    return {re.split("==", pin)[0]: extra for extra, pins in extras.extras().items() if "blender" not in extra for pin in pins}


def run_without(code: str) -> subprocess.CompletedProcess[str]:
    modules = [MODULES.get(package, package) for package in packages()]
    begin = WITHOUT_EXTRAS.format(root=str(ROOT), modules=modules)
    return subprocess.run([sys.executable, "-c", begin + code], capture_output=True, text=True, timeout=300)


def test_a_portrait_is_drawn_without_any_extra():
    answer = run_without(DRAW)
    assert answer.returncode == 0, answer.stderr
    assert "'Combined'" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [(["train", "features", "--data", "x", "--output", "y"], "opencv-python|tqdm", "train")],
)
def test_a_command_names_the_extra_that_it_needs(arguments, package, extra):
    answer = run_without(f"from backend.cli.main import main; sys.exit(main({arguments!r}))")
    assert answer.returncode == 2
    assert re.match(rf"error: ({package}) is not installed in this Python; it belongs to the extra '{extra}'\.\n", answer.stderr)
    assert re.search(r"hint: Install it: .* -m pip install .*==.*", answer.stderr)


def test_a_face_model_of_hdf5_names_the_extra_that_it_needs(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.delitem(sys.modules, "models.face.importers.bfm_h5", raising=False)
    path = tmp_path / "model.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(StyleRigError, match=r"h5py is not installed .* extra 'importers'.* -m pip install h5py==") as caught:
        load_face_model(path)
    assert caught.value.code == "missing_package"


def test_a_farm_names_the_extra_that_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    before = dict(os.environ)
    with pytest.raises(StyleRigError, match=r"ray is not installed .* extra 'ray'.* -m pip install ray=="), ray_crew.cluster("local", 1):
        pytest.fail("there is no Ray")
    assert dict(os.environ) == before


def test_a_module_of_no_extra_is_told_too():
    error = extras.missing_package(ModuleNotFoundError(name="torch.cuda"))
    assert "No module named 'torch.cuda'" in error.message and error.hint
