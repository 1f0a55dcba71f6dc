"""Training of the rig, tiny and whole: a synthetic face, pictures from the rasteriser, a random generator."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from backend.cli import main
from models.device_rng import DeviceRng
from models.errors import StyleRigError
from models.face import load_face_model
from models.face.alignment import align, project_landmarks
from models.face.parameters import RigParameters
from models.face.rasterizer import render
from models.generators import Generator, cpu, save_generator
from models.generators.semantic_mapping.scene_edits import draw_pairs, parameters_of, turned_lights, with_expression
from models.generators.semantic_mapping.studio_v1 import LIGHTS, THRESHOLD, layout
from models.perception.face_regressor import Estimator, close_view
from models.rigging import Controls, Rig
from models.rigging.frame_plan import plan_frame
from models.training.rig import latent_pool
from models.training.rig.ablations import VARIANTS, ablate
from models.training.rig.calibration import rotation_gains
from models.training.rig.config import DEFAULT, load_plan
from models.training.rig.edit_sampling import sample_target_edits
from models.training.rig.estimators import explained
from models.training.rig.images import HALVES, Mirror, StudioImages, over_backgrounds
from models.training.rig.pipeline import parameter_count, train_rig
from models.training.rig.run import Run
from tests.helpers.rig_training import GENERATOR, population, prepare, small_pools, tiny_plan, train
from tests.helpers.synthetic_face import synthetic_face

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def face():
    return synthetic_face(vertices=200)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a generator and 64 pictures with their truth."""
    return prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def studio_folder(prepared):
    return prepared / "pictures"


@pytest.fixture(scope="module")
def trained(prepared):
    """A rig trained without a break, and what the training said."""
    lines = []
    train(prepared, prepared / "rig", say=lines.append)
    return prepared / "rig", lines


def test_one_command_makes_a_rig_that_loads_and_a_second_run_repeats_nothing(face, prepared, trained):
    output, _ = trained
    assert (output / "results.md").is_file() and (output / "overlay.png").is_file() and (output / "edits.png").is_file()
    assert {path.stem for path in output.glob("tiny-*.md")} == {"tiny-judge", "tiny-reconstruction", "tiny-rignet"}
    rig = Rig.load(output, face=face)
    assert rig.name == "tiny" and rig.networks.localize_expressions and rig.networks.hidden == 16
    portrait = rig.new_portrait(seed=5)
    assert np.array_equal(rig.renderer.edited_latent(plan_frame(portrait, Controls(), rig.face))[0].numpy(), portrait.w)
    lines = []
    train(prepared, output, say=lines.append)
    assert Rig.load(output, face=face).weights_hash == rig.weights_hash
    assert not [line for line in lines if "done," in line]
    logged = [json.loads(line) for line in (output / "rignet-joint" / "log.jsonl").read_text().splitlines()]
    assert logged and all(np.isfinite(entry["losses"]["parameter"]) for entry in logged)
    record = json.loads((output / "config.json").read_text())
    assert record["seed"] == 1 and record["joint"]["steps"] == 2 and record["made_with"]["face_model"] == "synthetic"


@pytest.mark.slow
def test_a_training_that_was_killed_ends_where_an_unbroken_one_does(face, prepared, trained, tmp_path):
    for name in ("generator.safetensors", "pictures"):
        (tmp_path / name).symlink_to(prepared / name)
    command = [sys.executable, "-m", "tests.helpers.rig_training", str(tmp_path)]
    # Sums over parts of a batch depend in their last bit on how many threads share them.
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        limit = time.monotonic() + 120
        while not (tmp_path / "rig" / "rignet-expression" / "checkpoint.pt").exists() and time.monotonic() < limit:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and (tmp_path / "rig" / "rignet-expression" / "checkpoint.pt").exists()
    assert not (tmp_path / "rig" / "results.md").exists(), "it was over before it could be killed"
    train(tmp_path, tmp_path / "rig")
    assert Rig.load(tmp_path / "rig", face=face).weights_hash == Rig.load(trained[0], face=face).weights_hash


@pytest.mark.slow
def test_two_processes_train_one_rig(face, prepared, tmp_path):
    for name in ("generator.safetensors", "pictures"):
        (tmp_path / name).symlink_to(prepared / name)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m",
               "tests.helpers.rig_training", str(tmp_path)]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("rignet-joint: done") == 1, "only the first process speaks"
    rig = Rig.load(tmp_path / "rig", face=face)
    assert all(torch.isfinite(value).all() for value in rig.networks.state_dict().values())
    assert json.loads((tmp_path / "rig" / "config.json").read_text())["made_with"]["processes"] == 2


@pytest.mark.slow
def test_bf16_trains_the_networks_that_see_pictures(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(cpu, "has_fast_bf16", lambda device: True)  # emulated where it is not
    plan = tiny_plan(precision="bf16")
    plan = plan.replace(paper=plan.paper.replace(steps=0))
    lines = []
    train(prepared, tmp_path / "rig", plan=plan, say=lines.append)
    judge = Estimator.load(tmp_path / "rig" / "tiny-judge.safetensors")
    assert all(torch.isfinite(value).all() for value in judge.state_dict().values())
    assert not (tmp_path / "rig" / "rignet-pose").exists(), "a stage without steps is left out"
    assert json.loads((tmp_path / "rig" / "config.json").read_text())["made_with"]["precision"] == "bf16"


def test_without_bf16_a_training_goes_on_in_float32_and_says_so(face, tmp_path, monkeypatch):
    monkeypatch.setattr(cpu, "has_fast_bf16", lambda device: False)
    lines = []
    run = Run.open(tiny_plan(precision="bf16"), face, tmp_path, lines.append)
    assert run.precision == "float32" and lines == [cpu.NO_BF16]


def test_ablations_measure_every_variant(face, prepared, trained):
    run = Run.open(tiny_plan(), face, trained[0], lambda line: None)
    with small_pools():
        page = ablate(run, prepared / "generator.safetensors", prepared / "pictures")
    table = json.loads((trained[0] / "ablations.json").read_text())
    assert list(table) == [variant.name for variant in VARIANTS] and len(VARIANTS) == 5
    assert all(row["off_manifold"] > 0 and row["pose_drift_degrees"] >= 0 for row in table.values())
    assert "which took no part" in page.read_text() and (trained[0] / "ablations.jpg").is_file()


def test_a_generator_without_faces_is_refused(face, studio_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(latent_pool, "CHUNK", 32)
    monkeypatch.setattr(latent_pool, "MIN_VARIATION", 10.0)
    save_generator(Generator.create(GENERATOR), tmp_path / "generator.safetensors")
    run = Run.open(tiny_plan(), face, tmp_path, lambda line: None)
    with pytest.raises(StyleRigError) as caught:
        train_rig(run, tmp_path / "generator.safetensors", studio_folder)
    assert caught.value.code == "no_faces"


def test_a_face_without_expressions_is_refused(face, tmp_path):
    bare = dataclasses.replace(face, expression=face.expression[:0], expression_names=[])
    with pytest.raises(StyleRigError, match="no expressions"):
        train_rig(Run.open(tiny_plan(), bare, tmp_path, lambda line: None), tmp_path / "g", None)


def test_the_judge_never_sees_a_picture_of_the_training_half(face, studio_folder):
    training, judging = (StudioImages(studio_folder, half, parameter_count(face)) for half in HALVES)
    assert len(training) and len(judging)
    assert training.numbers().isdisjoint(judging.numbers())
    assert training.numbers() | judging.numbers() == set(range(64))


def test_pictures_of_another_face_model_are_refused(studio_folder, tmp_path):
    with pytest.raises(StyleRigError, match="parameters"):
        StudioImages(studio_folder, HALVES[0], 7)
    with pytest.raises(StyleRigError, match="no parameters"):
        StudioImages(tmp_path, HALVES[0], 7)


@pytest.mark.slow
def test_an_estimator_learns_the_pictures(face, studio_folder):
    pictures = StudioImages(studio_folder, HALVES[0], parameter_count(face))
    torch.manual_seed(0)
    network = Estimator.create(face, *pictures.labels(), channels=[8, 8, 16, 16, 16]).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    random, losses = DeviceRng(0), []
    for _ in range(40):
        batch = pictures.sample(16, random)
        found, _ = network(over_backgrounds(batch.images, random))
        loss = ((found - batch.landmarks) / 0.1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.7 * losses[0]


def test_a_mirrored_head_has_the_mirrored_truth():
    """The truth of the mirror image, drawn, is the mirror image of what was drawn."""
    head, random = load_face_model(None), torch.Generator().manual_seed(3)
    own = RigParameters.neutral(head, 3)
    own.expression.copy_(torch.rand(own.expression.shape, generator=random) * (torch.rand(own.expression.shape, generator=random) < 0.1))
    own.light.add_(0.4 * torch.randn(own.light.shape, generator=random))
    own = align(head, own.replace(rotation=0.3 * torch.randn(3, 3, generator=random)))
    mirror = Mirror(head)
    other = RigParameters.from_vector(mirror.parameters(own.vector()), head)
    points = [project_landmarks(head, parameters)[..., :2] for parameters in (own, other)]
    assert (mirror.landmarks(points[0]) - points[1]).abs().max() < 0.02  # half a pixel of a small picture
    drawn = [render(head, parameters, 64, outputs=("colour",))["colour"] for parameters in (own, other)]
    assert (drawn[0].flip(2) - drawn[1]).abs().mean() < 0.01 < (drawn[0] - drawn[1]).abs().mean()


def test_only_chosen_pictures_are_mirrored(face, studio_folder):
    pictures = StudioImages(studio_folder, HALVES[0], parameter_count(face))
    batch = pictures.batch(pictures.train[:2])
    turned = batch.mirrored(Mirror(face), torch.tensor([True, False]))
    assert torch.equal(turned.images[0], batch.images[0].flip(2)) and torch.equal(turned.images[1], batch.images[1])
    assert torch.equal(turned.landmarks[1], batch.landmarks[1]) and not torch.equal(turned.landmarks[0], batch.landmarks[0])


def test_a_face_model_of_one_sided_expressions_cannot_be_mirrored(face):
    assert not Mirror(dataclasses.replace(face, expression_names=[f"squint{number}_L" for number in range(5)])).known


def test_a_close_view_shows_what_lies_about_the_landmarks():
    axis = (torch.arange(256) + 0.5) / 128 - 1
    ramps = torch.stack((axis.expand(256, 256), -axis.view(-1, 1).expand(256, 256), torch.zeros(256, 256))).unsqueeze(0)
    seen = close_view(ramps, torch.tensor([[[0.2, 0.3], [0.4, 0.1]]]), (0.25, 0.1))  # x and y, y up
    assert float(seen[0, 0].mean()) == pytest.approx(0.3, abs=1e-3) and float(seen[0, 1].mean()) == pytest.approx(0.3, abs=1e-3)
    assert float(seen[0, 0, 0, -1] - seen[0, 0, 0, 0]) == pytest.approx(0.5 * 63 / 64, abs=1e-3)


@pytest.fixture(scope="module")
def head():
    from models.face import load_face_model

    return load_face_model(None)


def test_scene_pairs_change_only_the_chosen_controls(head):
    generator = Generator.create(GENERATOR)
    w, before, edited, after = draw_pairs(generator, head, 32, DeviceRng(0))
    assert torch.equal(before.identity, after.identity) and torch.equal(before.reflectance, after.reflectance)
    same_code = (w == edited).flatten(1).all(dim=1)
    same = [(getattr(before, part) == getattr(after, part)).flatten(1).all(dim=1) for part in ("rotation", "expression", "light")]
    assert torch.equal(same_code, torch.stack(same).all(dim=0)) and same_code.any() and not same_code.all()
    assert all(one.any() and not one.all() for one in same)
    assert parameters_of(torch.zeros(1, 512), head).rotation.abs().max() < 0.1


def test_the_eyes_may_keep_their_direction_when_the_head_turns(head):
    _, before, _, after = draw_pairs(Generator.create(GENERATOR), head, 64, DeviceRng(1))
    turned = (before.rotation[:, 0] - after.rotation[:, 0]).abs() > 0.2
    gaze = [number for number, name in enumerate(head.expression_names) if name.startswith("eyeLook")]
    moved = (before.expression - after.expression)[:, gaze].abs().amax(dim=1)
    assert (turned & (moved < 1e-4)).any() and (turned & (moved > 0.05)).any()


@pytest.mark.parametrize("name", ["jawOpen", "mouthSmile_L", "browDown_R", "eyeBlink_L"])
def test_a_scene_shows_the_expression_asked_for(head, name):
    z = torch.randn(6, 512, generator=torch.Generator().manual_seed(2))
    z[:, layout()["expression"]].clamp_(max=THRESHOLD - 1)
    number = head.expression_names.index(name)
    rest = parameters_of(with_expression(z, name, 0.0, head), head).expression
    for weight in (0.3, 1.0):
        shown = parameters_of(with_expression(z, name, weight, head), head).expression
        assert torch.allclose(shown[:, number], torch.full((6,), weight), atol=1e-4)
        bound = ("eyeWide", "mouthClose")  # these give way to closed lids, and need an open jaw
        free = [i for i, other in enumerate(head.expression_names) if i != number and not other.startswith(bound)]
        assert torch.allclose(shown[:, free], rest[:, free], atol=1e-5)


def test_turned_lights_turn_the_light_and_not_its_kind(head):
    place = layout()["light"]
    z = torch.randn(8, 512, generator=torch.Generator().manual_seed(3))
    z[:, place.start + LIGHTS.index("rim")] = -3  # no light from behind, which would turn to the front
    turned = z.clone()
    turned[:, place] = turned_lights(z[:, place], torch.full((8,), 0.5))
    back = turned_lights(turned[:, place], torch.full((8,), -0.5))
    assert torch.allclose(back, z[:, place], atol=1e-5)
    before, after = (parameters_of(value, head).light[:, 1:4].mean(dim=2) for value in (z, turned))
    angle = torch.atan2(after[:, 2], after[:, 1]) - torch.atan2(before[:, 2], before[:, 1])
    angle = (angle + torch.pi) % (2 * torch.pi) - torch.pi
    assert torch.allclose(angle, torch.full((8,), 0.5), atol=0.15)


def test_wishes_are_aligned_and_leave_the_person_alone(face):
    random = torch.Generator().manual_seed(0)
    own, people = population(face, 12, random), population(face, 30, random)
    active = torch.tensor([True, False, True, True, False])
    wanted, chosen = sample_target_edits(own, people, face, active, DeviceRng(0))
    assert chosen.any(dim=1).all() and torch.equal(wanted.identity, own.identity)
    changed = (wanted.light != own.light).flatten(1).any(dim=1)
    assert torch.equal(changed, chosen[:, 2])
    assert torch.allclose(align(face, wanted).translation, wanted.translation, atol=1e-3)


def test_turns_that_fall_short_are_asked_for_more(face):
    """A network that turns nine tenths of the yaw and a third of the pitch that is asked for."""
    own = population(face, 40, torch.Generator().manual_seed(2))

    def network(w, before, wanted, *_):
        return before.replace(rotation=before.rotation + (wanted.rotation - before.rotation) * torch.tensor([0.9, 0.33, 0.5])).vector()

    pool = SimpleNamespace(w=torch.zeros(40, 2, 4), parameters=own.vector())
    studio = SimpleNamespace(pool=pool, parameters=own, face=face, reconstruction=None, detect=lambda vectors: vectors,
                             sample_rows=lambda count, rng: rng.randint(0, 40, count))  # fmt: skip
    assert rotation_gains(studio, network, seed=1).tolist() == pytest.approx([1 / 0.9, 1.25, 1.0], abs=1e-4)


def test_explained_variance():
    wanted = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    wanted[:, 2] = 0
    found = torch.stack((wanted[:, 0], torch.zeros(200), wanted[:, 2]), dim=1)
    assert torch.allclose(explained(found, wanted), torch.tensor([1.0, 0.0, 0.0]), atol=0.02)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("precision = 'half'", "precision: should be 'float32' or 'bf16', not 'half'"),
        ("[landmarks]\nsteps = 0", "landmarks has neither steps nor minutes"),
        ("[joint]\nsteps = 0", "joint has neither"),
        ("method = 'magic'", "method: should be 'best', 'paper'"),
        ("colour = 3", "no setting colour; there are seed, checkpoint_minutes"),
        ("[finish]\ncolour = 3", "finish: there is no setting colour"),
        ("[pool]\nsamples = 'many'", "pool.samples: should be a valid integer, not 'many'"),
        ("[joint]\noptimizer = 'sgd'", "joint.optimizer: should be 'adam' or 'adadelta'"),
        ("pool = 3", "pool: "),
        ("= =", "not TOML"),
    ],
)
def test_faults_of_a_plan_are_named(tmp_path, text, message):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(StyleRigError, match=re.escape(message)) as caught:
        load_plan(path)
    assert caught.value.code == "bad_config" and str(path) in caught.value.message


def test_plans_are_read_also_with_the_names_of_earlier_versions(tmp_path):
    assert load_plan(None).name == "stylerig" and load_plan(DEFAULT).reconstruction.landmark == 17.5
    path = tmp_path / "old.toml"
    path.write_text("keep = false\n[evaluation]\nsteps = 7\nrate = 0.5\n[finish]\nsteps = 5\npicture = 3.0")
    plan = load_plan(path)
    assert (plan.localize_expressions, plan.judge.steps, plan.judge.learning_rate, plan.finish.preservation) == (False, 7, 0.5, 3.0)


def test_the_papers_optimizer_keeps_its_learning_rate():
    stage = load_plan(None).paper
    assert stage.learning_rate_factor(0.5, 10**6) == pytest.approx(0.5) and stage.learning_rate_factor(0.0, 32) == 0.01
    assert stage.replace(optimizer="adadelta").learning_rate_factor(0.9, 1) == 1.0


def test_the_command_names_what_is_missing(tmp_path, capsys):
    assert main.main(["train", "rig", "--output", str(tmp_path)]) == 2
    assert "--generator is missing" in capsys.readouterr().err
    assert main.main(["train", "rig", "--output", str(tmp_path), "--only", "judge"]) == 2
    assert "--studio is missing" in capsys.readouterr().err
