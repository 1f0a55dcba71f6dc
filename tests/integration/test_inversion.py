"""Faces in pictures, and the way from there to a portrait, on a generator that was never trained."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from backend.cli.main import main
from backend.files import recipe
from backend.server import schema, serialization
from models.editing.inversion import invert as inversion
from models.editing.inversion.finding import Eyes, choose_face, find_faces, one_of
from models.editing.inversion.invert import Effort, Progress, Watch, invert
from models.editing.inversion.photo import Photo
from models.errors import StyleRigError
from models.face.alignment import project_landmarks
from models.generators import Generator, GeneratorConfig
from models.generators.engines.scheduler import torch_threads
from models.rigging import Controls, Rig
from tests.helpers import photos
from tests.helpers.untrained_rig import untrained_rig

pytestmark = pytest.mark.slow

CHANNELS = {4: 16, 8: 16, 16: 12, 32: 8}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads of networks as small as these only wait for each other where other processes have the cores."""
    with torch_threads(1):
        yield


@pytest.fixture(scope="module")
def eyes() -> Eyes:
    return Eyes.load()


@pytest.fixture(scope="module")
def rig() -> Rig:
    """Random, but with a matte that covers the middle."""
    generator = Generator.create(GeneratorConfig(resolution=32, channels=CHANNELS), 0)
    with torch.no_grad():
        generator.synthesis.b32.torgb.bias[3] = 2.0
    return untrained_rig(generator=generator, hidden=8)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setitem(inversion.EFFORTS, "fast", Effort(20, 6, 20, 2))


def aligned_landmarks(seed: int) -> torch.Tensor:
    """Of a scene of one person, in its pixels."""
    rig = photos.shipped_rig()
    ndc = project_landmarks(rig.face, rig.new_portrait(seed).parameters)[0, :, :2]
    return (ndc * torch.tensor([0.5, -0.5]) + 0.5) * 256 + torch.tensor([192.0, 72.0])


def test_a_face_is_found_with_its_landmarks(eyes):
    face = choose_face(photos.photo(3), eyes)
    off = (face.landmarks - aligned_landmarks(3)).norm(dim=1)
    assert off.median() < 8 and 190 < face.width < 330, "pixels of a crop of 256"


def test_of_several_faces_one_has_to_be_chosen(eyes):
    both = photos.photo(3, 5)
    found = find_faces(both, eyes.finder)
    assert len(found) == 2
    with pytest.raises(StyleRigError, match="shows 2 faces") as caught:
        one_of(found, both.name, None)
    assert caught.value.code == "several_faces"
    left, right = (float(one_of(found, both.name, number).landmarks[:, 0].mean()) for number in (1, 2))
    assert left < 320 < right == pytest.approx(float(choose_face(both, eyes, 2).landmarks[:, 0].mean()), abs=10)
    with pytest.raises(StyleRigError, match="no face 3"):
        one_of(found, both.name, 3)


def test_where_there_is_no_face_none_is_found(eyes):
    for picture in (photos.noise(), Photo("grey.png", torch.full((3, 200, 200), 0.5), None, "0")):
        with pytest.raises(StyleRigError) as caught:
            choose_face(picture, eyes)
        assert caught.value.code == "no_face"


def error_of(rig: Rig, portrait, prepared) -> float:
    drawn = torch.from_numpy(rig.frame(portrait, Controls(), passes=("Portrait",))["Portrait"]).movedim(-1, 0)
    view = prepared.views
    return float(((drawn - view.pictures[0]).abs() * view.mattes[0]).sum() / view.mattes[0].sum() / 3)


def test_a_photo_becomes_a_portrait_that_turns_and_travels(rig, eyes, quick):
    picture = photos.photo(3)
    told: list[Progress] = []
    portrait = invert(rig, [picture], "fast", eyes=eyes, watch=Watch(told.append))
    done = [progress.done for progress in told]
    assert done == sorted(done) and done[-1] == 1
    prepared = inversion.prepare(rig, [picture], [choose_face(picture, eyes)])
    mean = rig.portrait_from_latent(rig.generator.w_avg.expand(rig.generator.num_ws, -1).numpy(), 0, 1.0)
    without = dataclasses.replace(portrait, offsets=None)
    assert error_of(rig, portrait, prepared) < error_of(rig, without, prepared) < error_of(rig, mean, prepared)
    turned = rig.frame(portrait, Controls(rotation=(0.4, 0.0, 0.0)))["Combined"]
    assert np.abs(turned - rig.frame(portrait, Controls())["Combined"]).max() > 0.02
    message = serialization.portrait_to_schema(portrait, rig)
    back = serialization.portrait_from_schema(schema.Portrait.model_validate_json(message.model_dump_json()), rig)
    again = rig.frame(back, Controls())["Combined"]
    assert np.array_equal(again, rig.frame(portrait, Controls())["Combined"]), "to the last bit"


def test_requests_name_offsets_that_came_once(rig, eyes, quick, monkeypatch):
    portrait = serialization.portrait_to_schema(invert(rig, [photos.photo(3)], "fast", eyes=eyes), rig)
    named = portrait.model_copy(update={"offsets": schema.Offsets(sha256=portrait.offsets.sha256)})
    monkeypatch.setattr(serialization, "OFFSETS", serialization.OffsetsSeen())
    with pytest.raises(StyleRigError) as caught:
        serialization.portrait_from_schema(named, rig)
    assert caught.value.code == "offsets_missing"
    serialization.portrait_from_schema(portrait, rig)
    assert serialization.portrait_from_schema(named, rig).offsets.digest == portrait.offsets.sha256
    other = portrait.model_copy(update={"offsets": schema.Offsets(sha256="0" * 64, file=portrait.offsets.file)})
    with pytest.raises(StyleRigError, match="not those that it names"):
        serialization.portrait_from_schema(other, rig)
    made_from = recipe.one_frame(portrait, schema.Controls(), 64, [])
    assert made_from["portrait"]["offsets"] == {"sha256": portrait.offsets.sha256}
    plain = serialization.portrait_to_schema(rig.new_portrait(3), rig)
    assert "offsets" not in recipe.one_frame(plain, schema.Controls(), 64, [])["portrait"], "as earlier versions wrote it"


def test_more_faces_than_photos_are_told(rig, eyes):
    with pytest.raises(StyleRigError, match="2 faces are named of 1 photos"):
        invert(rig, [photos.photo(3)], faces=[1, 2], eyes=eyes)


def test_photos_of_one_person_are_used_together(rig, eyes, quick):
    portrait = invert(rig, [photos.photo(3), photos.photo(5)], "fast", eyes=eyes)
    assert portrait.offsets is not None
    with pytest.raises(StyleRigError, match="not 9"):
        invert(rig, [photos.photo(3)] * 9, "fast", eyes=eyes)
    with pytest.raises(StyleRigError, match="no setting 'best'"):
        invert(rig, [photos.photo(3)], "best", eyes=eyes)


def test_what_was_cancelled_goes_on(rig, eyes, quick, monkeypatch, tmp_path):
    monkeypatch.setattr(inversion, "KEEP_SECONDS", 0.0)
    state, told = tmp_path / "state", []
    watch = Watch(told.append, lambda: bool(told) and told[-1].done > 0.6, state)
    with pytest.raises(StyleRigError) as caught:
        invert(rig, [photos.photo(3)], "fast", eyes=eyes, watch=watch)
    assert caught.value.code == "cancelled" and state.is_file()
    again: list[Progress] = []
    invert(rig, [photos.photo(3)], "fast", eyes=eyes, watch=Watch(again.append, state=state))
    steps = [progress.done for progress in again if progress.done > inversion.SHARE_BEFORE]
    assert steps[0] > 0.5 and steps[-1] == 1 and not state.exists()
    state.write_bytes(b"of another kind")
    begun: list[Progress] = []
    invert(rig, [photos.photo(3)], "fast", eyes=eyes, watch=Watch(begun.append, state=state))
    assert next(progress.done for progress in begun if progress.done > inversion.SHARE_BEFORE) < 0.2


def test_the_command_writes_a_rig_file_and_a_sheet(rig, quick, tmp_path, capsys):
    path = tmp_path / "photo.png"
    path.write_bytes(photos.saved(photos.scene((3,))))
    output, sheet = tmp_path / "person.json", tmp_path / "sheet.png"
    options = ["portrait", str(path), "--output", str(output), "--sheet", str(sheet), "--preview", str(tmp_path / "now.png")]
    assert main(options, lambda device: rig) == 0
    assert "consent" in capsys.readouterr().err
    found = schema.parse_rig_file(output.read_text(), str(output))
    assert isinstance(found.portrait, schema.Portrait) and found.portrait.offsets and found.portrait.offsets.file
    assert sheet.is_file() and not list(tmp_path.glob("*.unfinished"))
    assert main(["render", str(output), "--output", str(tmp_path / "frames")], lambda device: rig) == 0
    assert (tmp_path / "frames" / "frame_0001.png").is_file()


@pytest.mark.parametrize(("name", "code"), [("photo.txt", "bad_photo"), ("none.png", "bad_photo"), ("noise.png", "no_face")])
def test_the_command_tells_what_is_no_photo(rig, name, code, tmp_path, capsys):
    path = tmp_path / name
    if code == "no_face":
        values = (photos.noise().pixels.movedim(0, -1).numpy() * 255).astype(np.uint8)
        path.write_bytes(photos.saved(photos.Image.fromarray(values)))
    elif name == "photo.txt":
        path.write_text("no picture")
    assert main(["portrait", str(path), "--output", str(tmp_path / "person.json")], lambda device: rig) == 2
    assert name in capsys.readouterr().err and not (tmp_path / "person.json").exists()


def test_a_rig_file_of_an_earlier_version_opens(rig):
    message = json.loads(serialization.portrait_to_schema(rig.new_portrait(3), rig).model_dump_json())
    del message["offsets"]
    assert serialization.portrait_from_schema(schema.Portrait.model_validate(message), rig).offsets is None
