"""Looks of every kind learn through the one trainer, go on where they stopped, and leave files that open."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backend.cli import main
from backend.cli.train_look import KINDS, PLANS
from models.device_rng import DeviceRng
from models.errors import StyleRigError
from models.face import load_face_model
from models.generators.cpu import usable_precision
from models.synthetic.person import latent_of, person_from_latent
from models.training.core.checkpoint import Stopped
from models.training.core.config import parse_settings
from models.training.core.trainer import Trainer
from models.training.translation import config, data
from models.training.translation.attributes import attributes_of, hair_colour
from models.training.translation.framing import Framing
from models.training.translation.made import PAPER
from models.training.translation.pairs import shades
from models.training.translation.run import open_training
from models.training.translation.stargan import changed
from models.training.translation.task import train_look
from models.translation import load_look
from models.translation.lab import colours_of, lightness_of
from tests.helpers.picture_sets import write_makeovers, write_people, write_set

SIZE, PEOPLE = 32, 96
OF_KIND = {"colourise": "pix2pix", "drawing": "cyclegan", "attributes": "stargan", "styles": "starganv2", "cogan-glasses": "cogan"}
DOMAINS = ["no glasses", "glasses"]
TINY = {
    "pix2pix": {"resolution": SIZE, "discriminator_width": 2, "discriminator_layers": 1, "generator": {"width": 2, "levels": 5}},
    "cyclegan": {"resolution": SIZE, "discriminator_width": 2, "discriminator_layers": 1, "domains": DOMAINS, "pool": 4,
                 "generator": {"width": 2, "blocks": 1}},
    "cogan": {"generator": {"image_size": SIZE, "width": 1, "latent_dim": 4, "domains": DOMAINS}},
    "stargan": {"critic_steps": 2, "generator": {"image_size": SIZE, "width": 2, "blocks": 1, "discriminator_layers": 3,
                                                "label_sets": [["glasses", "black hair", "blond hair"]]}},
    "starganv2": {"diversity_steps": 10, "generator": {"image_size": SIZE, "width": 2, "max_width": 4, "downs": 2, "hidden": 4,
                                                       "style_dim": 4, "domains": DOMAINS}},
}  # fmt: skip
STAGE = {"steps": 5, "batch": 2, "learning_rate": 1e-3}


def plan_of(kind: str, stage: dict | None = None, **changes) -> config.LookPlan:
    return parse_settings(config.PLANS[kind], {**TINY[kind], "stages": [STAGE | (stage or {})], **changes})


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other take longer than networks as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def studio(tmp_path_factory) -> Path:
    """A set whose latents are people of the studio's."""
    return write_people(tmp_path_factory.mktemp("studio"), PEOPLE, SIZE)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """Pictures in two folders, of the same names."""
    root = tmp_path_factory.mktemp("folders")
    for name in ("ink", "paint"):
        (root / name).mkdir()
        for number in range(66):
            pixels = np.random.default_rng((number, len(name))).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:03}.png")
    return root


def training(kind: str, folder: Path | list[Path], output: Path, plan: config.LookPlan | None = None) -> Trainer:
    folders = folder if isinstance(folder, list) else [folder]
    return open_training(kind, folders, plan or plan_of(kind), output, say=lambda line: None)


def stop_after(trainer: Trainer, steps: int) -> None:
    """The process is asked to stop after so many steps."""
    inner = trainer.task.after_step

    def after_step(progress, losses):
        if progress.steps == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return inner(progress, losses)

    trainer.task.after_step = after_step


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {f"{name}.{key}": value for name, module in trainer.task.modules.items() for key, value in module.state_dict().items()}


LOSSES = {
    "pix2pix": {"discriminator_real", "discriminator_fake", "generator_adversarial", "generator_l1", "held_out_psnr"},
    "cyclegan": {"generator_adversarial_a", "generator_cycle_b", "generator_identity_a", "discriminator_b_real", "held_out_cycle_a"},
    "cogan": {"discriminator_real", "discriminator_fake", "generator_adversarial"},
    "stargan": {"discriminator_penalty", "discriminator_classification", "generator_reconstruction", "generator_classification",
                "held_out_reconstruction", "own_accuracy"},
    "starganv2": {"discriminator_latent_penalty", "discriminator_reference_fake", "generator_latent_diversity",
                  "generator_reference_style_reconstruction", "generator_latent_cycle", "diversity", "held_out_cycle"},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_teaches_nearly_the_same(studio, tmp_path, kind):
    exact, quick = (training(kind, studio, tmp_path / name, plan_of(kind, precision=name)) for name in ("float32", "bf16"))
    begun = {name: value.clone() for name, value in weights(exact).items()}
    exact.run()
    quick.run()
    assert quick.task.precision == usable_precision("bf16", "cpu")[0]
    ended = weights(quick)
    moved = lambda values: torch.cat([(values[name] - begun[name]).flatten() for name in begun if values[name].is_floating_point()])
    assert torch.cosine_similarity(moved(weights(exact)), moved(ended), dim=0) > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_learns_goes_on_where_it_stopped_and_leaves_a_look(studio, tmp_path, kind):
    whole, first = (training(kind, studio, tmp_path / name) for name in ("whole", "parts"))
    begun = {name: value.clone() for name, value in weights(whole).items()}
    whole.run()
    stop_after(first, 3)
    with pytest.raises(Stopped):
        first.run()
    second = training(kind, studio, tmp_path / "parts")
    assert second.progress.steps == 3
    second.run()
    ended, again = weights(whole), weights(second)
    assert all(torch.equal(value, again[name]) for name, value in ended.items())
    for module in whole.task.modules:
        assert any(not torch.equal(value, begun[name]) for name, value in ended.items() if name.startswith(module))
    train_look(whole)
    assert "images seen" in (tmp_path / "whole" / "results.md").read_text()
    (sheet,) = (tmp_path / "whole" / "samples").glob("*.jpg")
    width, height = Image.open(sheet).size
    assert width % SIZE == 0 and height >= 2 * SIZE
    assert LOSSES[kind] <= set(whole.log.losses()) | set(whole.task.latest)
    for path in (tmp_path / "whole").glob("look*.safetensors"):
        look = load_look(path)
        assert look.kind == kind and look.metadata["images"] == 10 and "trained here" in look.metadata["kind"]
        if kind != "cogan":
            label = {"stargan": "glasses", "starganv2": "glasses"}.get(kind)
            assert look(torch.zeros(1, 3, 21, 30), label).isfinite().all()
    assert len(list((tmp_path / "whole").glob("look*.safetensors"))) == (2 if kind == "cyclegan" else 1)


def test_pix2pix_learns_colours_from_black_and_white(tmp_path):
    """Of pictures in which how bright a place is says what colour it has."""
    (tmp_path / "set").mkdir()
    for number in range(64):
        bright = np.random.default_rng(number).random((4, 4)).repeat(8, axis=0).repeat(8, axis=1)[..., None]
        colour = bright * [0.9, 0.2, 0.1] + (1 - bright) * [0.0, 0.1, 0.4]
        Image.fromarray((255 * colour).astype(np.uint8)).save(tmp_path / "set" / f"{number:02}.png")
    generator = {"width": 4, "levels": 5, "inputs": 1, "outputs": 2}
    plan = plan_of("pix2pix", {"steps": 60, "batch": 8, "learning_rate": 5e-3}, generator=generator, enlarge=1.0, flip=False)
    trainer = training("pix2pix", tmp_path / "set", tmp_path / "out", plan)
    task = trainer.task
    batch = task.batch(trainer.progress, DeviceRng(0))
    images = task.sources[0].of(task.sources[0].places(0, 8))
    assert torch.allclose(batch.inputs, lightness_of(images), atol=1e-5) and torch.allclose(batch.targets, colours_of(images), atol=1e-5)
    given, wanted = task.pair(images, images)
    assert torch.allclose(lightness_of(given), lightness_of(wanted), atol=1e-3) and colours_of(given).abs().max() < 1e-3
    before = task.show()[1]["held_out_psnr"]
    trainer.run()
    assert task.figures["held_out_psnr"] > before + 3


def test_pairs_of_two_folders_belong_together(folders, tmp_path):
    trainer = training("pix2pix", [folders / "ink", folders / "paint"], tmp_path, plan_of("pix2pix", enlarge=1.25))
    task = trainer.task
    rows = task.sources[0].places(0, 2)
    names = [[source.pictures.source.entries()[row].picture.stem for row in rows] for source in task.sources]
    assert names[0] == names[1]
    batch = task.batch(trainer.progress, DeviceRng(0))
    assert batch.inputs.shape == batch.targets.shape == (2, 3, SIZE, SIZE) and not torch.equal(batch.inputs, batch.targets)
    with pytest.raises(StyleRigError, match="3 folders are given"):
        training("pix2pix", [folders / "ink"] * 3, tmp_path / "other")
    (folders / "paint" / "065.png").rename(folders / "paint" / "last.png")
    with pytest.raises(StyleRigError, match=r"other names .*065, last"):
        training("pix2pix", [folders / "ink", folders / "paint"], tmp_path / "other")
    (folders / "paint" / "last.png").rename(folders / "paint" / "065.png")


def test_domains_are_folders_sub_folders_or_what_the_truth_says(studio, folders):
    by_folder = data.open_domains([folders / "ink", folders / "paint"], (), Framing(SIZE), 0, False)
    by_sub_folder = data.open_domains([folders], ["paint", "ink"], Framing(SIZE), 0, False)
    assert [images.name for images in by_folder] == ["ink", "paint"] and [images.name for images in by_sub_folder] == ["paint", "ink"]
    assert torch.equal(by_folder[0].of(by_folder[0].rows[:3]), by_sub_folder[1].of(by_sub_folder[1].rows[:3]))
    without, glasses = data.open_domains([studio], DOMAINS, Framing(SIZE), 0, False)
    assert len(without.rows) + len(glasses.rows) == PEOPLE and len(without.rows) > len(glasses.rows) > 10
    assert not set(without.training) & set(without.held_out) and len(without.held_out) in range(1, 6)
    assert len(without.example_rows(99)) == len(without.held_out) and set(without.example_rows(2)) <= set(without.held_out)
    without.held_out = np.array([], dtype=int)
    assert without.example_rows(3).tolist() == without.training[[0, round((len(without) - 1) / 2), -1]].tolist()
    young, old = data.open_domains([studio], ["young", "old"], Framing(SIZE), 0, False)
    assert len(young.rows) + len(old.rows) < PEOPLE  # those between belong to neither
    with pytest.raises(StyleRigError, match=r"no folder 'oil' .*ink, paint"):
        data.open_domains([folders], ["oil", "ink"], Framing(SIZE), 0, False)
    with pytest.raises(StyleRigError, match="does not say who has 'wings'"):
        data.open_domains([studio], ["wings", "no wings"], Framing(SIZE), 0, False)


def test_photos_become_drawings_of_other_people(studio, folders, tmp_path):
    photos, drawings = data.open_domains([studio], ["photo", "drawing"], Framing(SIZE), 0, False)
    assert len(photos.rows) + len(drawings.rows) == PEOPLE and not set(photos.rows) & set(drawings.rows)
    assert len(photos.held_out) and len(drawings.held_out)
    plain = data.open_images(studio, Framing(SIZE), 0, False)
    row = drawings.rows[:1]
    assert torch.equal(photos.of(photos.rows[:2]), plain.of(photos.rows[:2]))
    drawn = drawings.of(row) * 0.5 + 0.5
    assert (drawn - plain.of(row) * 0.5 - 0.5).abs().mean() > 0.05
    assert torch.allclose(drawn[0, :, 0, 0], torch.tensor(PAPER), atol=0.01)  # nothing is there: paper
    trainer = training("cyclegan", studio, tmp_path, plan_of("cyclegan").model_copy(update={"domains": ("photo", "drawing")}))
    assert [images.made for images in trainer.task.domains] == ["photo", "drawing"]
    with pytest.raises(StyleRigError, match=r"no folder 'photo'"):
        (folders / "drawing").mkdir(exist_ok=True)
        data.open_domains([folders], ["photo", "drawing"], Framing(SIZE), 0, False)


def test_parts_of_images_are_learnt_from(studio, tmp_path):
    plan = plan_of("cyclegan").model_copy(update={"crop": 16, "enlarge": 1.25})
    trainer = training("cyclegan", studio, tmp_path, plan)
    batch = trainer.task.batch(trainer.progress, DeviceRng(0))
    assert [images.shape[-2:] for images in batch] == [(16, 16)] * 2
    images = torch.arange(2 * 3 * 32 * 32.0).view(2, 3, 32, 32) / 4096 - 0.5
    part = data.jittered(images, DeviceRng(3), 1.0, 8)
    row, column = divmod(int(((part[0, 0, 0, 0] + 0.5) * 4096).round()), 32)
    assert torch.equal(part, images[:, :, row : row + 8, column : column + 8])
    with pytest.raises(StyleRigError, match="crop has to be a multiple of 4"):
        parse_settings(config.CycleGANPlan, {"crop": 18})


def test_whole_heads_are_asked_for_of_sets_that_show_them(studio):
    with pytest.raises(StyleRigError, match="do not show whole heads"):
        data.open_images(studio, Framing(SIZE, whole=True), 0, False)


def test_attributes_are_those_of_the_people(studio, tmp_path):
    pictures, face = data.open_images(studio, Framing(SIZE), 0, False).pictures, load_face_model("head-2")
    names = ["black hair", "brown hair", "blond hair", "grey hair", "beard", "no beard", "old"]
    found = attributes_of(pictures, names)
    assert (found[:, :4].sum(axis=1) == 1).all() and (found[:, 4] != found[:, 5]).all()
    assert (found[:, :5].mean(axis=0) > 0.04).all()
    for row in range(0, PEOPLE, 40):
        person = person_from_latent(latent_of(1, row, face), face)
        assert found[row, 6] == (person.age >= 55) and found[row, names.index(f"{hair_colour(person)} hair")]
    with pytest.raises(StyleRigError, match="another version of the studio"):
        attributes_of(data.open_images(write_set(tmp_path, range(64)), Framing(16), 0, False).pictures, names)


def test_stargan_learns_sets_of_labels_jointly(studio, folders, tmp_path):
    generator = TINY["stargan"]["generator"] | {"label_sets": [["glasses", "beard"], ["ink", "paint"]]}
    trainer = training("stargan", [studio, folders], tmp_path, plan_of("stargan", generator=generator))
    task = trainer.task
    assert [known.exclusive for known in task.sets] == [False, True]
    (_, first), (_, second) = task.batch(trainer.progress, DeviceRng(0)).sets
    assert first.shape == (2, 6) and (first[:, 2:4] == 0).all() and (first[:, 4:] == torch.tensor([1.0, 0.0])).all()
    assert (second[:, :2] == 0).all() and (second[:, 2:4].sum(dim=1) == 1).all() and (second[:, 4:] == torch.tensor([0.0, 1.0])).all()
    trainer.run()
    assert {"set1_generator_classification", "set2_discriminator_penalty"} <= set(task.latest)
    assert load_look(tmp_path / "look.safetensors")(torch.zeros(1, 3, 32, 32), "paint").isfinite().all()
    with pytest.raises(StyleRigError, match=r"1 folders are given.*2, one for each"):
        training("stargan", studio, tmp_path / "other", plan_of("stargan", generator=generator))


def test_labels_are_changed_one_at_a_time():
    names, labels = ("Black_Hair", "Blond_Hair", "Young"), torch.tensor([[1.0, 0.0, 1.0]])
    assert changed(labels, names, 1, False).tolist() == [[0, 1, 1]] and changed(labels, names, 2, False).tolist() == [[1, 0, 0]]
    assert changed(labels, names, 2, True).tolist() == [[0, 0, 1]] and labels.tolist() == [[1, 0, 1]]


def test_the_generator_of_stargan_learns_every_few_steps(studio, tmp_path):
    trainer = training("stargan", studio, tmp_path)
    task, stage = trainer.task, trainer.stages[0]
    task.begin_stage(stage)
    for step in range(4):
        before = [value.clone() for value in task.generator.parameters()]
        trainer.take_step(stage)
        moved = any(not torch.equal(*pair) for pair in zip(before, task.generator.parameters(), strict=True))
        assert moved == (step % 2 == 1)


def test_stargan_warms_up_before_the_networks_play_against_each_other(studio, tmp_path):
    trainer = open_training("stargan", [studio], plan_of("stargan", warm_up_steps=3, critic_steps=1), tmp_path)
    task, seen, step = trainer.task, [], trainer.task.learn
    task.learn = lambda batch, rng: seen.append(step(batch, rng)) or seen[-1]
    before = [value.clone() for value in task.generator.parameters()]
    trainer.run()
    alone = {"discriminator_classification", "generator_reconstruction"}
    assert [set(losses) == alone for losses in seen] == [True] * 3 + [False] * 2
    assert all("discriminator_penalty" in losses for losses in seen[3:])
    assert any(not torch.equal(*each) for each in zip(before, task.generator.parameters(), strict=True))


PAIRED = {"paired_weight": 10.0, "warm_up_steps": 3}
LABELS = ["black hair", "brown hair", "blond hair", "grey hair", "glasses", "beard", "old"]


@pytest.fixture(scope="module")
def made_over(tmp_path_factory) -> Path:
    return write_makeovers(tmp_path_factory.mktemp("makeovers"), 40, SIZE)


def test_stargan_learns_from_makeovers(made_over, tmp_path):
    network = TINY["stargan"]["generator"] | {"label_sets": [LABELS]}
    trainer = training("stargan", made_over, tmp_path, plan_of("stargan", generator=network, flip=False, critic_steps=1, **PAIRED))
    task = trainer.task
    task.begin_stage(trainer.stages[0])
    questions, answers, weights, labels = task.pairs(0, 16, DeviceRng(0))
    known = task.sets[0]
    rows = known.images.places(0, 16)
    assert torch.equal(questions, known.images.of(rows))
    for row, answer, label in zip(rows, answers, labels, strict=True):
        others = [other for other in range(row - row % 4, row - row % 4 + 4) if other != row]
        [other] = [other for other in others if torch.equal(known.images.of(np.array([other]))[0], answer)]
        assert torch.equal(label, known.labels[other])
    same = (questions - answers).abs().amax(dim=1, keepdim=True) == 0
    assert weights[:, :, -4:].max() == 1 < weights[~same].mean()
    seen, step = [], task.learn
    task.learn = lambda batch, rng: seen.append(step(batch, rng)) or seen[-1]
    trainer.run()
    assert [set(losses) == {"discriminator_classification", "generator_paired"} for losses in seen] == [True] * 3 + [False] * 2
    assert all({"generator_paired", "generator_adversarial"} <= set(losses) for losses in seen[3:])
    assert {"held_out_pairs", "held_out_pairs_unchanged"} <= set(trainer.log.losses())


def test_styles_without_norms_begin_alike(made_over, tmp_path):
    network = TINY["starganv2"]["generator"] | {"domains": LABELS[:4], "latent_dim": 8, "norm": "none"}
    trainer = training("starganv2", made_over, tmp_path, plan_of("starganv2", generator=network, **PAIRED))
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    drawn = lambda look: [look(image, style=look.style(latent, 2)) for latent in torch.eye(8)[:2, None]]
    first, second = drawn(trainer.task.looks()["look.safetensors"])
    assert torch.equal(first, second)
    trainer.run()
    look = load_look(tmp_path / "look.safetensors")
    first, second = drawn(look)
    assert look.config.norm == "none" and not torch.equal(first, second) and first.isfinite().all()


def test_a_stargan_of_pairs_alone_needs_no_discriminator(made_over, tmp_path):
    network = TINY["stargan"]["generator"] | {"label_sets": [LABELS]}
    plan = plan_of("stargan", generator=network, classification_weight=0.0, **PAIRED | {"warm_up_steps": 100})
    trainer = training("stargan", made_over, tmp_path, plan)
    before = [value.clone() for value in trainer.task.discriminator.parameters()]
    trainer.run()
    assert all(torch.equal(*each) for each in zip(before, trainer.task.discriminator.parameters(), strict=True))


def test_stargan_v2_learns_from_makeovers(made_over, tmp_path):
    generator = TINY["starganv2"]["generator"] | {"domains": LABELS[:4], "latent_dim": 8}
    trainer = training("starganv2", made_over, tmp_path, plan_of("starganv2", generator=generator, flip=False, **PAIRED))
    task = trainer.task
    task.begin_stage(trainer.stages[0])
    pairs = task.pairs(torch.arange(4).repeat(4), DeviceRng(0))
    images, styles = task.domains[0], task.known_styles
    everybody = images.of(np.arange(len(images.pictures)))
    place = lambda image: int((everybody - image).abs().amax(dim=(1, 2, 3)).argmin())
    for index, domain in enumerate(pairs.domains.tolist()):
        question, answer, reference = (place(each[index]) for each in (pairs.questions, pairs.answers, pairs.references))
        assert question // 4 == answer // 4 != reference // 4 and question != answer
        assert task.domain_of[answer] == task.domain_of[reference] == domain and task.domain_of[question] == index % 4
        assert (
            torch.equal(pairs.latents[index, 1:4].sign(), styles.known[answer, 1:]) and pairs.latents[index, 0] == styles.known[answer, 0]
        )
    seen, step = [], task.learn
    task.learn = lambda batch, rng: seen.append(step(batch, rng)) or seen[-1]
    trainer.run()
    assert [set(losses) == {"generator_paired_reference", "generator_paired_latent"} for losses in seen] == [True] * 3 + [False] * 2


@pytest.mark.parametrize("kind", ["stargan", "starganv2"])
def test_pairs_are_asked_of_makeovers_alone(kind, studio, tmp_path):
    network = TINY[kind]["generator"] | ({"domains": LABELS[:4]} if kind == "starganv2" else {})
    with pytest.raises(StyleRigError, match="no pairs"):
        training(kind, studio, tmp_path, plan_of(kind, generator=network, **PAIRED))


@pytest.mark.parametrize("kind", ["stargan", "starganv2"])
def test_residual_generators_begin_with_the_image(kind, studio, tmp_path):
    plan = plan_of(kind, generator=TINY[kind]["generator"] | {"residual": True})
    task = training(kind, studio, tmp_path, plan).task
    [look] = task.looks().values()
    image = torch.rand(1, 3, SIZE, SIZE) * 2 - 1
    label = {"glasses": 1.0} if kind == "stargan" else "glasses"
    assert torch.equal(look(image, label), image)
    training_of_it = training(kind, studio, tmp_path, plan)
    training_of_it.run()
    assert not torch.equal(load_look(tmp_path / "look.safetensors")(image, label), image)


def test_shades_are_ranks_within_a_domain():
    found = shades(torch.tensor([0.3, 0.1, 0.2, 5.0, 7.0]), [np.array([0, 1, 2]), np.array([4])])
    assert found[1] < found[2] == 0 < found[0] and found[0] == -found[1]
    assert found[3] == found[4] == 0  # of no domain, and alone in one


def test_a_styles_pairs_are_of_hair_colours():
    with pytest.raises(StyleRigError, match="paired_weight"):
        plan_of("starganv2", paired_weight=1.0)


def test_stargan_v2_warms_up_without_an_adversary(studio, tmp_path):
    trainer = open_training("starganv2", [studio], plan_of("starganv2", warm_up_steps=3), tmp_path)
    task, seen, step = trainer.task, [], trainer.task.learn
    before = [value.clone() for value in task.discriminator.parameters()]
    same = lambda: all(torch.equal(*each) for each in zip(before, task.discriminator.parameters(), strict=True))
    task.learn = lambda batch, rng: seen.append((set(step(batch, rng)), same())) or {}
    trainer.run()
    assert seen[:3] == [({"generator_reconstruction"}, True)] * 3
    assert len(seen) == 5 and all("generator_latent_adversarial" in names for names, _ in seen[3:]) and not same()


def test_styles_diversity_fades_and_the_average_follows(studio, tmp_path):
    trainer = training("starganv2", studio, tmp_path)
    task, stage = trainer.task, trainer.stages[0]
    task.begin_stage(stage)
    assert task.optimizers["mapping"].param_groups[0]["initial_lr"] == pytest.approx(1e-5)
    assert task.batch(trainer.progress, DeviceRng(0)).diversity_weight == 1
    before = [value.clone() for value in task.average.parameters()]
    trainer.take_step(stage)
    assert task.batch(trainer.progress, DeviceRng(0)).diversity_weight == pytest.approx(0.9)
    for old, new, value in zip(before, task.average.parameters(), task.networks.parameters(), strict=True):
        assert torch.allclose(new, 0.999 * old + 0.001 * value, atol=1e-6)


@pytest.mark.parametrize("kind", ["pix2pix", "cyclegan"])
def test_a_loss_that_is_no_number_ends_the_training_with_good_weights(studio, tmp_path, kind):
    """pix2pix's batch norms have taken it in by then, so that nothing is kept; CycleGAN's state is that before the step."""
    trainer = training(kind, studio, tmp_path)
    batch_of, steps = trainer.task.batch, trainer.progress

    def broken(progress, rng):
        batch = batch_of(progress, rng)
        if steps.steps == 2:
            (batch.targets if kind == "pix2pix" else batch[0])[0] = torch.nan
        return batch

    trainer.task.batch = broken
    with pytest.raises(StyleRigError, match="no longer a number at step 2"):
        trainer.run()
    assert (tmp_path / "checkpoint.pt").is_file() == (kind == "cyclegan")
    again = training(kind, studio, tmp_path)
    assert again.progress.steps == (2 if kind == "cyclegan" else 0)
    again.run()
    assert all(value.isfinite().all() for value in weights(again).values())


def test_images_change_by_chance_and_keep_their_size():
    images, rng = torch.rand(6, 3, 32, 32) * 2 - 1, DeviceRng(0)
    assert data.jittered(images, rng, 1.0) is images
    for made in (data.jittered(images, rng, 286 / 256), data.cropped(images, rng, 1.0), data.flipped(images, rng)):
        assert made.shape == images.shape and made.abs().max() <= 1 and not torch.equal(made, images)
    assert torch.equal(data.cropped(images, rng, 0.0), images)
    flips = [torch.equal(one, other) for one, other in zip(data.flipped(images, rng), images, strict=True)]
    assert 0 < sum(flips) < 6


def test_rates_follow_the_published_schedules_however_long_a_training_is():
    stage = config.Stage(epochs=10, schedule="linear").counted(50)
    assert stage.images == 500 and stage.learning_rate_factor(0.3, 150) == 1
    assert stage.learning_rate_factor(0.75, 375) == pytest.approx(1 - 51 / 101)
    ends = {
        name: config.Stage(steps=1, schedule=name).learning_rate_factor(0.9999, 1) for name in ("stargan-published", "stargan-intended")
    }
    assert ends["stargan-published"] > 0.999 and ends["stargan-intended"] == pytest.approx(0.01)


@pytest.mark.parametrize("path", sorted(PLANS.glob("*.toml")), ids=lambda path: path.stem)
def test_plans_that_ship_are_read(path):
    kind = path.stem if path.stem in KINDS else OF_KIND[path.stem]
    plan = config.load_plan(kind, path)
    if path.stem in KINDS and kind != "stargan":
        published = config.PLANS[kind]()
        differs = {"domains"} if kind == "cyclegan" else {"generator"} if kind in ("cogan", "starganv2") else set()
        assert {name for name in type(plan).model_fields if getattr(plan, name) != getattr(published, name)} == differs
        assert plan.generator.model_copy(update={"domains": ()}) == published.generator.model_copy(update={"domains": ()})


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("pix2pix", {"resolution": 48}, "cannot be halved 5 times"),
        ("pix2pix", {"generator": {"inputs": 2}}, "generator: .*two channels are the colours of Lab"),
        ("pix2pix", {"generator": {"widht": 2}}, "generator: .*widht"),
        ("pix2pix", {"generator": 3}, "generator: it is not a table"),
        ("pix2pix", {"gan_mode": "hinge"}, "gan_mode: should be 'vanilla', 'lsgan' or 'wgangp'"),
        ("pix2pix", {"stages": [{"batch": 1}]}, "stage #1 has no end"),
        ("pix2pix", {"stages": [STAGE | {"schedule": "fast"}]}, "there is no schedule 'fast'; there are constant, linear"),
        ("cyclegan", {"generator": {"inputs": 1}}, "generator has to take and give 3 channels"),
        ("stargan", {"generator": {}}, "generator: .*label_sets"),
        ("starganv2", {"generator": {"high_pass": 1.0}}, "high_pass has to be 0"),
    ],
)
def test_plans_that_cannot_be_are_refused(kind, changes, words):
    with pytest.raises(StyleRigError, match=words):
        plan_of(kind, **changes)


def test_the_command_trains_and_says_where_the_look_is(studio, tmp_path, capsys):
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(TINY["cyclegan"] | {"stages": [STAGE]}))
    arguments = ["train", "look", "--kind", "cyclegan", "--data", str(studio), "--config", str(plan), "--output", str(tmp_path / "out")]
    assert main.main(arguments) == 0
    assert "look-back.safetensors" in capsys.readouterr().out and (tmp_path / "out" / "results.md").is_file()
    assert main.main([*arguments[:5], str(tmp_path / "none"), *arguments[6:]]) == 2
    assert "no folder of pictures" in capsys.readouterr().err
