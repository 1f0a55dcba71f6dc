"""Methods side by side: figures of methods whose answer is known, and all kinds of them on tiny networks."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from backend.cli import evaluate_methods as command
from models.errors import StyleRigError
from models.evaluation.methods import judge as judges
from models.evaluation.methods import measure as measures
from models.evaluation.methods.disco import DiscoMethod
from models.evaluation.methods.judge import Judge, Seen, foreign_judge, network_reader, open_judge
from models.evaluation.methods.linear import Codes, LinearMethod, interfacegan, sefa, steering
from models.evaluation.methods.measure import measure, people_scale
from models.evaluation.methods.method import Method, light_azimuth, scalars
from models.evaluation.methods.rigs import GuidedMethod, RigNetMethod, cut, stage_minutes, training_of
from models.evaluation.methods.run import BEGIN, END, NAMES, evaluate_methods, fill_page
from models.face import load_face_model
from models.face.alignment import align, project_landmarks
from models.face.harmonics import luminance
from models.face.parameters import RigParameters, part_sizes
from models.generators import Generator, GeneratorConfig, save_generator, torch_threads
from models.generators.disco import DiscoConfig
from models.generators.guided import GuidedConfig
from models.perception.face_regressor import Estimator
from models.rigging import Controls, Rig
from tests.helpers.untrained_rig import untrained_rig

SMALL = {4: 8, 8: 8, 16: 8, 32: 8}
RANGE = 200.0  # of the numbers that a picture of ``Written`` holds


@pytest.fixture(scope="module")
def face():
    return load_face_model(None)


@pytest.fixture(autouse=True)
def one_thread():
    with torch_threads(1):
        yield


class Written(Method):
    """Pictures that hold their parameters as numbers. It goes ``share`` of the way of what is asked, and ``leak`` degrees of pitch beside."""

    title, training = "written", "none"

    def __init__(self, face, share: float = 1.0, leak: float = 0.0):
        self.face, self.share, self.leak = face, share, leak

    def portrait(self, seed: int) -> RigParameters:
        random = torch.Generator().manual_seed(seed)
        heads = RigParameters.neutral(self.face)
        heads = heads.replace(identity=torch.randn(1, 80, generator=random), expression=0.2 * torch.rand(1, 57, generator=random),
                              rotation=0.1 * torch.randn(1, 3, generator=random))  # fmt: skip
        return align(self.face, heads)

    def own(self, portrait: RigParameters) -> RigParameters:
        return portrait

    def picture(self, portrait: RigParameters, controls: Controls) -> torch.Tensor:
        wanted = self.wanted(portrait, controls)
        vector = portrait.vector() + self.share * (wanted.vector() - portrait.vector())
        drawn = RigParameters.from_vector(vector, self.face)
        if not torch.equal(vector, portrait.vector()):
            drawn.rotation[:, 1] += np.radians(self.leak)
        picture = torch.zeros(4, 16, 16)
        picture[3] = 1
        picture[:3].view(-1)[: vector.shape[1]] = align(self.face, drawn).vector()[0] / RANGE + 0.5
        return picture


def reads_written(face) -> Judge:
    """Reads what ``Written`` wrote, exactly."""

    def read(pictures: torch.Tensor) -> Seen:
        numbers = pictures.flatten(1)[:, : sum(part_sizes(face).values())]
        parameters = RigParameters.from_vector((numbers - 0.5) * RANGE, face)
        values = scalars(parameters, face.expression_names)
        values |= {"light": light_azimuth(parameters), "harmonics": luminance(parameters.light), "embedding": parameters.identity,
                   "landmarks": project_landmarks(face, parameters)[..., :2]}  # fmt: skip
        return Seen({name: value.numpy() for name, value in values.items() if name != "sideways"})

    return Judge("exact", "", read)


def measured(face, **how) -> dict:
    judge = reads_written(face)
    return measure(Written(face, **how), judge, 2, people_scale(Written(face), judge, 6))


def test_a_method_that_does_what_it_is_asked_has_perfect_figures(face):
    found = measured(face)
    for axis, figures in found["axes"].items():
        assert figures["slope"] == pytest.approx(1, abs=0.01) and figures["r2"] == pytest.approx(1, abs=0.01), axis
        assert figures["leakage"] < 0.01 and figures["identity"] == pytest.approx(1, abs=1e-3)
        if axis != "light":
            assert figures["landmark_gain"] == pytest.approx(1, abs=0.02) and figures["landmark_direction"] > 0.99
    assert found["axes"]["light"]["landmark_gain"] is None and found["axes"]["light"]["drift"] < 0.01
    scores = found["disentanglement"]
    for factor, value in scores["standard_deviation"].items():
        assert value > 1e6 and scores["variance"][factor] > value  # nothing else moves


def test_going_half_the_way_and_leaking_is_seen(face):
    found = measured(face, share=0.5, leak=3.0)
    assert found["axes"]["smile"]["slope"] == pytest.approx(0.5, abs=0.02)
    assert found["axes"]["yaw"]["landmark_gain"] == pytest.approx(0.5, abs=0.15)
    assert found["axes"]["smile"]["leaks"]["pitch"] > 0.3 and found["axes"]["smile"]["leaks"]["blink"] < 0.05
    assert found["axes"]["light"]["drift"] > 0.1


def test_light_is_read_the_short_way_round():
    assert measures.turned("light", np.array([350.0, -350.0, 20.0])).tolist() == [-10.0, 10.0, 20.0]
    assert measures.turned("yaw", np.array([350.0])).tolist() == [350.0]


def test_both_forms_of_the_score_are_squares_of_each_other(face):
    scores = measured(face, share=0.7, leak=1.0)["disentanglement"]
    of = scores["deviations"]["pose"]
    product = np.prod([of["pose"] / max(value, 1e-6) for name, value in of.items() if name != "pose"])
    assert scores["standard_deviation"]["pose"] == pytest.approx(product, rel=1e-3)


@pytest.fixture(scope="module")
def rig(face) -> Rig:
    with torch_threads(1):
        rig = untrained_rig(face, Generator.create(GeneratorConfig(resolution=32, channels=SMALL), 3), hidden=8)
        with torch.no_grad():  # a reconstruction that reads something
            rig.reconstruction.slopes.normal_(0, 0.02)
        return rig


@pytest.fixture(scope="module")
def disco(tmp_path_factory):
    path = tmp_path_factory.mktemp("disco") / "disco-generator.safetensors"
    numbers = {"identity": 4, "expression": 3, "light": 3, "rotation": 2}
    config = DiscoConfig(resolution=32, channels=SMALL, mapping_layers=2, z_dim=14, numbers=numbers, hidden=dict.fromkeys(numbers, 6),
                         mapping_lr_multiplier=1.0)  # fmt: skip
    generator = Generator.create(config, 2)
    generator.mapping.w_avg.normal_()
    return save_generator(generator, path, {"minutes": 2, "images seen": 9, "contrastive": True, "taught by": "abc"})


def test_every_rignet_method_edits_the_portrait(rig):
    for name in ("joint", "paper", "simultaneous"):
        method = RigNetMethod(rig, name, name, {"rignet-joint": 2.0, "rignet-finish": 1.0, "rignet-pose": 0.5})
        portrait = method.portrait(5)
        picture, turned = (method.picture(portrait, controls) for controls in (Controls(), Controls(rotation=(0.5, 0.0, 0.0))))
        assert picture.shape == (4, 32, 32) and not torch.equal(picture, turned)
    assert training_of({"rignet-joint": 2.0, "rignet-finish": 1.0}, "joint") == "3.0 min"
    assert training_of({}, "paper") == "not noted"


def test_a_card_tells_the_minutes(tmp_path):
    (tmp_path / "a-rignet.md").write_text('- minutes by stage: {"rignet-pose": 0.7, "x": 1}\n')
    assert stage_minutes(tmp_path, "a")["rignet-pose"] == 0.7 and stage_minutes(tmp_path, "b") == {}


def test_directions_are_found_where_an_axis_lies(rig):
    codes = Codes.of(rig, 400)
    direction = torch.nn.functional.normalize(torch.randn(512, generator=torch.Generator().manual_seed(4)), dim=0)
    codes.values = dict(codes.values) | {"smile": (codes.w - codes.w.mean(dim=0)) @ direction}
    for find in (steering, interfacegan):
        found = torch.nn.functional.normalize(find(codes, "smile"), dim=0)
        apart = (codes.w - codes.w.mean(dim=0)) @ found
        assert torch.corrcoef(torch.stack((apart, codes.values["smile"])))[0, 1] > 0.6
    rows = sefa(codes, "smile")
    assert rows.norm() == pytest.approx(1, abs=1e-3) and torch.equal(rows, sefa(codes, "smile"))


def test_a_linear_method_goes_as_far_as_its_reconstruction_says(rig):
    codes = Codes.of(rig, 400)
    method = LinearMethod(rig, codes, steering, "steering")
    step, most = method.steps["yaw"]
    assert most > 0
    w = codes.w[:20]
    change = scalars(
        rig.reconstruction((w + 0.2 * most * step)[:, None].expand(-1, rig.generator.num_ws, -1), rig.face), rig.face.expression_names
    )
    before = scalars(rig.reconstruction(w[:, None].expand(-1, rig.generator.num_ws, -1), rig.face), rig.face.expression_names)
    assert float((change["yaw"] - before["yaw"]).mean()) == pytest.approx(0.2 * most, rel=0.3)
    portrait = method.portrait(1)
    assert torch.equal(method.edited(portrait, method.own(portrait)), method.code(portrait))


def test_discofacegan_moves_by_its_coefficients(disco, rig, tmp_path):
    method = DiscoMethod(disco)
    portrait = method.portrait(4)
    same, turned = (method.picture(portrait, controls) for controls in (Controls(), Controls(rotation=(0.6, 0.0, 0.0))))
    plain = torch.cat(method.generator.foreground(portrait.w), dim=1)[0]
    assert torch.allclose(same, plain, atol=1e-3) and (turned - same).abs().max() > 1e-3
    assert "with pairs" in method.training
    with pytest.raises(StyleRigError, match="no DiscoFaceGAN"):
        DiscoMethod(save_generator(rig.generator, tmp_path / "other.safetensors"))


def test_a_guided_generators_crop_holds_the_face(tmp_path):
    save_generator(
        Generator.create(GuidedConfig(resolution=32, channels=SMALL), 1), tmp_path / "tiny-generator.safetensors", {"minutes": 5}
    )
    method = GuidedMethod(Rig.load(tmp_path))
    portrait = method.portrait(3)
    assert method.picture(portrait, Controls(expression={"jawOpen": 1.0})).shape == (4, 128, 128) and method.training == "5 min"


def test_a_crop_is_cut_where_its_axes_say():
    picture = torch.zeros(1, 1, 64, 64)
    picture[:, :, 16:24, 40:48] = 1  # right of and above the middle
    centre, axis = torch.tensor([[0.375, 0.375]]), torch.tensor([[0.125, 0.0]])
    assert cut(picture, centre, axis, 8).mean() == pytest.approx(1, abs=1e-4)
    assert cut(picture, -centre, axis, 8).mean() == 0


def test_who_may_judge(face, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outside_judge.py").write_text(
        "import numpy as np\n"
        "def read(pictures):\n    n, h, w, _ = pictures.shape\n"
        "    return {'yaw': pictures[:, 0, 0, 0] * 1.0, 'landmarks': np.full((n, 68, 2), (w, 0.0))}\n"
        "def wrong(pictures):\n    return {'yaw': [1.0]}\n"
    )
    monkeypatch.delitem(sys.modules, "outside_judge", raising=False)
    seen = open_judge("outside_judge:read", None).see([torch.ones(4, 8, 8)] * 3)
    assert seen["yaw"].tolist() == [255.0] * 3 and seen["landmarks"][0, 0].tolist() == [1.0, 1.0] and "pitch" not in seen
    with pytest.raises(StyleRigError, match="yaw is"):
        foreign_judge("outside_judge:wrong").see([torch.ones(4, 8, 8)] * 3)
    for name in ("outside_judge:nothing", "no_such_module_here:read"):
        with pytest.raises(StyleRigError, match="cannot be found"):
            foreign_judge(name)
    with pytest.raises(StyleRigError, match="had part"):
        Judge("one", "abc", reads_written(face).read).check_apart({"taught by": "abc"})
    network = Estimator(part_sizes(face), channels=(4, 4, 4, 4, 4)).eval()
    assert network_reader(network)(torch.rand(2, 3, 32, 32))["landmarks"].shape == (2, 68, 2)
    with pytest.raises(StyleRigError, match="none of ours"):
        network_reader(Estimator(part_sizes(face) | {"identity": 3}, channels=(4, 4, 4, 4, 4)))


def test_the_command_writes_figures_sheet_and_page(rig, disco, face, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measures, "DRAWS", 2)
    monkeypatch.setattr(measures, "VALUES", {"yaw": (-30.0, 30.0), "smile": (0.0, 1.0), "light": (-60.0, 60.0)})
    monkeypatch.setattr("models.evaluation.methods.run.VALUES", measures.VALUES)
    monkeypatch.setattr(Rig, "load", classmethod(lambda cls, *_, **__: rig))
    network = Estimator(part_sizes(face), channels=(4, 4, 4, 4, 4)).eval()
    network.save(tmp_path / "judge.safetensors", {"half": "evaluation"})
    page = tmp_path / "page.md"
    page.write_text(f"# Methods\n\n{BEGIN}\nold\n{END}\n\nAfter.\n")
    monkeypatch.setattr("models.evaluation.methods.run.PEOPLE", 3)
    arguments = ["--judge", str(tmp_path / "judge.safetensors"), "--disco", str(disco), "--methods", "joint,disco", "--portraits", "1",
                 "--json", str(tmp_path / "m.json"), "--plots", str(tmp_path / "plots"), "--page", str(page), "--device", "cpu"]  # fmt: skip
    parser = command.argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args(arguments)) == 0
    results = json.loads((tmp_path / "m.json").read_text())
    assert list(results["methods"]) == ["joint", "disco"] and set(results["not_run"]) == set(NAMES) - {"joint", "disco"}
    assert (tmp_path / "plots" / "sheet.jpg").is_file() and (tmp_path / "plots" / "axes.png").is_file()
    text = page.read_text()
    assert "| DiscoFaceGAN |" in text and "old" not in text and text.endswith("After.\n")
    assert fill_page(text, results) == text and "| DiscoFaceGAN |" in capsys.readouterr().out
    again = [{"joint,disco": "joint"}.get(word, word) for word in arguments]
    with pytest.raises(StyleRigError, match="also holds disco, which the sheet would not show"):
        command.run(parser.parse_args(again))
    again = [word for word in again if word not in ("--plots", str(tmp_path / "plots"))]
    assert command.run(parser.parse_args(again)) == 0
    both = json.loads((tmp_path / "m.json").read_text())
    assert list(both["methods"]) == ["joint", "disco"] and both["methods"]["disco"] == results["methods"]["disco"]
    (tmp_path / "m.json").write_text(json.dumps(both | {"people": 4}))
    assert command.run(parser.parse_args(again)) == 0
    assert list(json.loads((tmp_path / "m.json").read_text())["methods"]) == ["joint"]  # of another measurement
    with pytest.raises(StyleRigError, match="no place"):
        fill_page("# Methods", results)
    with pytest.raises(StyleRigError, match="no method magic"):
        command.chosen("joint,magic")
    with pytest.raises(StyleRigError, match="no method to compare"):
        evaluate_methods(rig, judges.open_judge(str(tmp_path / "judge.safetensors"), rig), chosen=("guided",))
