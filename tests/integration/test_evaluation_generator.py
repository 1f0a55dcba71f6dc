"""Studio features are learned from a set's truth; a generator is measured by them, by the command line."""

from __future__ import annotations

import importlib.util
import json
from types import SimpleNamespace

import pytest
import torch

from backend.cli import main
from backend.cli.generator_on_ray import GeneratorJob
from backend.farm.worker import Worker
from models.data.image_set import ImageSet
from models.errors import StyleRigError
from models.evaluation.generator import run
from models.evaluation.generator.drawn import Amounts, Drawn
from models.evaluation.generator.run import GeneratorEvaluation
from models.generators import Generator, GeneratorConfig, load_generator, save_generator
from models.perception.features import FeatureNetwork, load_features
from models.training.features import train_features
from tests.helpers.picture_sets import LATENTS, ellipse, write_set

SIZE = 32
COUNT = 288  # 279 of them for training
FIELDS = ("latent", "parameters", "landmarks")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("data"), range(COUNT), 128)


@pytest.fixture(scope="module")
def features_file(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("features") / "features.safetensors"
    assert main.main(["train", "features", "--data", str(folder), "--output", str(path), "--images", "768"]) == 0
    return path


class Painter(Generator):
    """A generator that draws exactly what the set holds, from the latents in z: the best there can be."""

    def foreground(self, w, noise="const"):
        pictures = [torch.from_numpy(ellipse(row.numpy(), SIZE)).permute(2, 0, 1) / 255 for row in w[:, 0, :LATENTS]]
        pictures = torch.stack(pictures)
        return pictures[:, :3], pictures[:, 3:]


@pytest.fixture()
def painter():
    config = GeneratorConfig(resolution=SIZE, z_dim=16, w_dim=16, mapping_layers=1, channels={4: 8, 8: 8, 16: 8, 32: 8})
    generator = Painter.create(config).eval().requires_grad_(False)
    generator.mapping.single = lambda z, c=None: z
    generator.metadata = {"scene_latents": LATENTS}
    return generator


@pytest.mark.slow
def test_features_read_the_truth_and_come_back_from_their_file(folder, features_file):
    features = load_features(features_file)
    data = ImageSet(folder, 128, FIELDS, progress=False)
    rows = data.rows(held_out=True)
    read = features.read(data.batch(rows)[0])
    start, stop = features.header["truth"]["landmarks"]
    truth = torch.from_numpy(data.truth["landmarks"][rows]).flatten(1)
    assert float((read[:, start:stop] - truth).abs().mean()) < 0.9 * float((truth - truth.mean(0)).abs().mean())
    assert features.header["mean_r2"]["landmarks"] > 0.2 and features.header["pictures"] == 279
    values = features(data.batch(data.rows(held_out=False))[0])
    assert values.mean(0).abs().max() < 0.1 and (values.std(0) - 1).abs().max() < 0.1


def test_perceptual_distance_sees_a_blur_and_nothing_in_equals(folder, features_file):
    features = load_features(features_file)
    pictures = ImageSet(folder, 128, progress=False, most=8).batch(range(8))[0]
    blurred = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(pictures, 4), scale_factor=4)
    assert float(features.perceptual_distance(pictures, pictures).abs().max()) == 0
    assert float(features.perceptual_distance(pictures, blurred).min()) > 0


def test_features_see_a_blur(folder, features_file):
    """Some of them move by half of what people differ by."""
    features = load_features(features_file)
    pictures = ImageSet(folder, 128, progress=False).batch(range(48))[0]
    blurred = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(pictures, 4), scale_factor=4)
    assert float((features(blurred) - features(pictures)).mean(0).abs().max()) > 0.5


def test_bad_feature_files_are_refused(folder, features_file, tmp_path):
    with pytest.raises(StyleRigError, match="no studio features"):
        load_features(tmp_path / "none")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(features_file.read_bytes()[:-1000])
    with pytest.raises(StyleRigError, match="cannot be used as studio features"):
        load_features(damaged)
    with pytest.raises(StyleRigError, match="no labels"):
        train_features(ImageSet(folder, 128, (), progress=False), tmp_path)


@pytest.mark.slow
def test_a_perfect_generator_reaches_the_floor_and_a_bad_one_does_not(folder, features_file, painter, monkeypatch):
    monkeypatch.setattr(run, "PATHS", 8)
    monkeypatch.setattr(run, "DETECTED", 8)
    features = load_features(features_file)
    evaluation = lambda generator: GeneratorEvaluation(generator, folder, features, 64, say=lambda line: None)
    good = evaluation(painter).run()
    assert good["held_out"]["matte"] < 0.03 and good["held_out"]["samples"] == 9
    bad_generator = Generator.create(painter.config, seed=1).eval().requires_grad_(False)
    worse = evaluation(bad_generator)
    for part in (worse.see_real, worse.see_generated, worse.see_held_out, worse.distances, worse.manifolds, worse.held_out):
        part()
    bad = worse.figures
    assert "reason" in bad["held_out"]
    assert good["frechet"]["samples"] == 64 and good["frechet"]["features"] == "studio features"
    assert bad["frechet"]["ratio"] > 3 * good["frechet"]["ratio"]
    assert good["manifold"]["precision"] >= bad["manifold"]["precision"]
    assert good["path_length"]["w"] > 0 and good["path_length"]["between_real_pictures"] > 0


def test_too_few_pictures_are_refused(features_file, painter, tmp_path):
    small = write_set(tmp_path / "small", range(70), 128)
    with pytest.raises(StyleRigError, match="too few to measure"):
        GeneratorEvaluation(painter, small, load_features(features_file), 100, say=lambda line: None)


@pytest.mark.slow
def test_the_command_writes_figures_and_sheets(folder, features_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run, "PATHS", 8)
    monkeypatch.setattr(run, "DETECTED", 8)
    config = GeneratorConfig(resolution=SIZE, z_dim=16, w_dim=16, channels={4: 8, 8: 8, 16: 8, 32: 8})
    save_generator(Generator.create(config, seed=1), tmp_path / "g.safetensors", {"scene_latents": LATENTS})
    command = ["evaluate", "generator", "--generator", str(tmp_path / "g.safetensors"), "--data", str(folder),
               "--features", str(features_file), "--samples", "64", "--json", str(tmp_path / "figures.json"),
               "--output", str(tmp_path / "sheets")]  # fmt: skip
    assert main.main(command) == 0
    report = json.loads((tmp_path / "figures.json").read_text())
    assert {"frechet", "kernel", "manifold", "path_length", "held_out"} <= set(report["figures"])
    assert "fid" not in report["figures"] and "not FID" in report["units"]["frechet"]
    assert {path.name for path in (tmp_path / "sheets").iterdir()} >= {"nearest.jpg", "interpolation.mp4", "over-green.jpg"}
    assert "frechet" in capsys.readouterr().out
    if importlib.util.find_spec("ray"):
        (tmp_path / "figures.json").unlink()
        assert main.main([*command, "--ray", "local", "--workers", "2", "--json-log"]) == 0
        *_, end = map(json.loads, capsys.readouterr().out.splitlines())
        assert (end["event"], end["drawn"]) == ("end", 7)  # four batches of samples, one of each other kind
        assert json.loads((tmp_path / "figures.json").read_text()) == report


def test_the_parts_are_those_of_one_process_and_made_once(painter, features_file, tmp_path):
    save_generator(painter, tmp_path / "g.safetensors", {})
    drawn = Drawn(load_generator(tmp_path / "g.safetensors"), load_features(features_file), None, Amounts(20, 3, 2, 5, 128))
    parts = drawn.parts()
    assert parts == [("samples", 0), ("samples", 1), ("z", 0), ("w", 0), ("faces", 0)]
    files = tmp_path / "g.safetensors", features_file, None
    job = GeneratorJob(tmp_path / "parts", parts, drawn.amounts, *files)
    draw = lambda job: Worker(job, SimpleNamespace(device="cpu"), keep=True).draw
    assert [draw(job)(number).kept for number in job.numbers] == [False] * 5
    for kind, number in parts:
        assert all(torch.equal(job.measured(kind, number)[name], values) for name, values in drawn(kind, number).items())
    assert job.measured("samples", 1)["features"].shape[0] == 4
    job.path("w", 0).write_bytes(b"cut off")
    assert [draw(job)(number).kept for number in job.numbers] == [True, True, True, False, True]
    other = GeneratorJob(job.folder, parts, Amounts(20, 3, 2, 6, 128), *files)
    assert not draw(other)(1).kept  # of another seed


def test_a_farm_needs_a_folder(folder, capsys):
    command = ["evaluate", "generator", "--generator", "g", "--data", str(folder), "--features", "f", "--ray", "192.0.2.1:1"]
    assert main.main(command) == 2 and "--output" in capsys.readouterr().err


def test_the_command_says_what_is_missing(folder, tmp_path, capsys):
    save_generator(Generator.create(GeneratorConfig(resolution=8, channels={4: 8, 8: 8})), tmp_path / "g.safetensors", {})
    status = main.main(["evaluate", "generator", "--generator", str(tmp_path / "g.safetensors"), "--data", str(folder),
                       "--features", str(tmp_path / "none")])  # fmt: skip
    assert status == 2 and "train features" in capsys.readouterr().err


def test_the_network_has_the_stated_maps():
    maps = FeatureNetwork(3).maps(torch.zeros(1, 4, 128, 128))
    assert [tuple(m.shape[1:]) for m in maps] == [(32, 64, 64), (64, 32, 32), (96, 16, 16), (128, 8, 8), (192, 4, 4)]
