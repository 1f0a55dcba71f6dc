"""Engines: the same pictures as the plain network, whatever computes them."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numba import config

from models.errors import StyleRigError
from models.generators import Generator, GeneratorConfig, cpu, guide, guided, latents_from_seed, load_engine
from models.generators.config import StyleGAN2Config
from models.generators.engines import engine as engines
from models.generators.engines import fused2, fused_guided, kernels_place
from models.generators.engines.convolution import array
from models.generators.engines.kernels import load, store
from models.generators.engines.scheduler import CpuScheduler, WorkerGroup, WorkerSlot
from models.generators.guided import GuidedConfig
from models.generators.planes import PlanesConfig
from models.generators.roi import Box, drawn_parts
from models.generators.stylegan3_config import StyleGAN3Config
from tests.bench.networks import stylegan3
from tests.data.official_format import lively, stylegan3_config

ROOT = Path(__file__).resolve().parents[2]
# Channels that are no whole chunks, a clamp that bites, sizes with more than one strip.
TWO = StyleGAN2Config(resolution=64, z_dim=16, w_dim=24, mapping_lr_multiplier=0.01,
                      channels={4: 40, 8: 32, 16: 20, 32: 17, 64: 5}, conv_clamp=3.0)  # fmt: skip
STUDIO = GeneratorConfig(resolution=32, channels={4: 24, 8: 16, 16: 16, 32: 8})
GUIDED = GuidedConfig(resolution=64, channels={4: 24, 8: 16, 16: 16, 32: 20, 64: 8}, mattes=("skin", "hair", "eyes"), z_dim=16, w_dim=24)
SAID = dataclasses.replace(
    GUIDED, palette=True, planes=PlanesConfig(features=3, channels={4: 9, 8: 7}, w_dim=24), strands=True
)  # w speaks in the maps too


def three(radial: bool) -> Generator:
    """All layers of a published StyleGAN3 with few channels, filters that are not symmetric."""
    generator = lively(stylegan3(32, radial, base=256, most=12))
    for name, values in generator.named_buffers():
        if name.endswith("_filter"):  # else fifteen layers would swell to the clamp
            values /= values.sum()
    return generator


NETWORKS = {
    "stylegan2": lambda: lively(Generator.create(TWO, seed=3)),
    "studio": lambda: lively(Generator.create(STUDIO, seed=3)),
    "stylegan3-t": lambda: three(False),
    "stylegan3-r": lambda: three(True),
    "other filters": lambda: lively(Generator.create(odd_filters(), seed=3)),
    "guided": lambda: lively(Generator.create(GUIDED, seed=3)),
    "guided, with planes": lambda: lively(Generator.create(SAID, seed=3)),
}


def odd_filters() -> StyleGAN3Config:
    """A layer that the kernel is not made for: it takes no filter at all."""
    config = stylegan3_config(3, False)
    layers = list(config.layers)
    layers[2] = dataclasses.replace(layers[2], in_size=52, out_size=32, up=1, down=1, up_taps=1, down_taps=1,
                                    padding=(-11, -11, -11, -11))  # fmt: skip
    return dataclasses.replace(config, layers=tuple(layers))


@pytest.fixture(params=sorted(NETWORKS))
def generator(request) -> Generator:
    return NETWORKS[request.param]()


def codes(generator: Generator, count: int = 2) -> torch.Tensor:
    """W+: another w for each layer."""
    w = generator.mapping(latents_from_seed(5, count * generator.num_ws, generator.z_dim))[:, 0]
    return w.view(count, generator.num_ws, -1)


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_exact_equals_the_plain_network(generator, threads):
    engine = load_engine(generator, "exact")
    assert engine.name == "fused kernels, float32" and not engine.notice
    w = codes(generator)
    truth = generator.synthesis(w)
    picture = engine.synthesis(w)
    assert picture.shape == truth.shape and picture.dtype == torch.float32
    assert (picture - truth).abs().max() < 2e-5 * max(1.0, float(truth.abs().max()))
    assert torch.equal(picture[:1], engine.synthesis(w[:1])), "a picture depends on the batch"


def test_foreground_of_a_matte():
    generator = NETWORKS["studio"]()
    w = codes(generator)
    for ours, truth in zip(load_engine(generator, "exact").foreground(w), generator.foreground(w), strict=False):
        assert ours.shape == truth.shape and (ours - truth).abs().max() < 2e-5


def test_maps_and_mattes_of_a_guided_generator():
    """Maps of its own for each picture, all channels it draws, and a part of a picture as the whole has it there."""
    generator = NETWORKS["guided"]()
    w, maps = codes(generator), torch.rand(2, guide.CHANNELS, 64, 64, generator=torch.Generator().manual_seed(2))
    truth = generator.synthesis.raw(w, guide=maps)
    engine = load_engine(generator, "exact")
    assert engine.name == "fused kernels, float32"
    drawn = engine.raw(w, guide=maps)
    assert drawn.shape == truth.shape == (2, 4 + len(GUIDED.mattes), 64, 64)
    assert (drawn - truth).abs().max() < 2e-5 * max(1.0, float(truth.abs().max()))
    assert (drawn[0] - drawn[1]).abs().max() > 0.1 and torch.equal(engine.raw(w[1:], guide=maps[1:])[0], drawn[1])
    box = Box(10, 40, 24, 50)
    part = engine.raw(w[:1], boxes=[box], guide=maps[:1])[0, :, *box.place]
    assert (part - drawn[0, :, *box.place]).abs().max() < 1e-5
    for count in (1, 3):
        assert torch.equal(load_engine(generator, "exact", scheduler=CpuScheduler(count)).raw(w, guide=maps), drawn)
    with pytest.raises(ValueError, match="guide has the shape"):
        engine.raw(w, guide=maps[:, 1:])


@pytest.mark.parametrize("painted", [64, 32, 16])
def test_what_w_says_is_painted_on_the_maps(monkeypatch, painted):
    """On all of them, on finer ones by themselves, and with those twice as fine as what is painted."""
    for module in (guided, fused_guided):
        monkeypatch.setattr(module, "PAINTED", painted)
    generator = NETWORKS["guided, with planes"]()
    maps = torch.randn(2, guide.CHANNELS, 64, 64, generator=torch.Generator().manual_seed(2))
    maps[:, guide.COVERED] = maps[:, guide.COVERED].clamp(0, 1)
    maps[:, guide.SHELL_COVERED] = maps[:, guide.SHELL_COVERED].clamp(0, 1)
    y, x = torch.meshgrid(torch.linspace(1, -2, 64), torch.linspace(-0.3, 0.3, 64), indexing="ij")
    maps[:, guide.SHELL_POINT] = torch.stack((x, y, torch.ones_like(x))) * maps[:, guide.SHELL_COVERED]  # strands wide enough to be seen
    w = codes(generator)
    truth = generator.synthesis.raw(w, guide=maps)
    strands = cast(Any, generator.synthesis).strands
    kept, strands.pattern = strands.pattern, torch.zeros_like(strands.pattern)
    assert (generator.synthesis.raw(w, guide=maps) - truth).abs().max() > 1e-2
    strands.pattern = kept
    for _ in range(2):
        drawn = load_engine(generator, "exact").raw(w, guide=maps)
        assert (drawn - truth).abs().max() < 2e-5 * max(1.0, float(truth.abs().max()))


@pytest.mark.parametrize("name", ["guided", "guided, with planes"])
def test_smaller_maps_draw_what_an_earlier_block_shows(name):
    generator = NETWORKS[name]()
    w, maps = codes(generator), torch.rand(2, guide.CHANNELS, 32, 32, generator=torch.Generator().manual_seed(2))
    truth = generator.synthesis.raw(w, guide=maps)
    assert truth.shape[2:] == (32, 32) and torch.equal(truth, generator.synthesis.raw(w, guide=maps, resolution=32))
    engine = load_engine(generator, "exact")
    for _ in range(2):  # a smaller picture leaves nothing behind in what the larger uses
        assert (engine.raw(w, guide=maps) - truth).abs().max() < 2e-5 * max(1.0, float(truth.abs().max()))
        assert engine.raw(w).shape[2:] == (64, 64)
    box = Box(6, 20, 10, 30)
    part = engine.raw(w[:1], boxes=[box], guide=maps[:1])[0, :, *box.place]
    assert (part - truth[0, :, *box.place]).abs().max() < 1e-4


@pytest.mark.parametrize("noise", ["const", "none", "random"])
def test_noise(noise):
    generator = NETWORKS["stylegan2"]()
    w = codes(generator)
    engine = load_engine(generator, "exact")
    ours = engine.synthesis(w, noise, seed=7)
    assert torch.allclose(ours, generator.synthesis(w, noise, seed=7), atol=1e-4)
    assert torch.equal(ours, engine.synthesis(w, noise, seed=7))
    assert torch.equal(ours, engine.synthesis(w, noise, seed=8)) == (noise != "random")
    with pytest.raises(ValueError, match="noise"):
        engine.synthesis(w, "loud")


@pytest.mark.parametrize("name", ["stylegan2", "stylegan3-t", "stylegan3-r"])
def test_bfloat16_is_close(name):
    generator = NETWORKS[name]()
    w = codes(generator, 1)
    truth = generator.synthesis(w)
    rough = engines.PerImageRunner(engines.fuse(generator.synthesis, torch.bfloat16), CpuScheduler()).raw(w, "const", 0)
    error = float((rough - truth).square().mean().sqrt() / truth.abs().max())
    assert 0 < error < 10 ** (-40 / 20), "more than 40 dB under the peak"


def test_bands_do_not_show(monkeypatch):
    generator = NETWORKS["stylegan2"]()
    w = codes(generator, 1)
    whole = load_engine(generator, "exact").synthesis(w)
    monkeypatch.setattr(fused2, "BAND", 64 * 16 * 5)
    assert torch.allclose(load_engine(generator, "exact").synthesis(w), whole, atol=1e-5)


def test_fast_says_when_it_is_not(monkeypatch):
    generator = NETWORKS["studio"]()
    monkeypatch.setattr(cpu, "has_fast_bf16", lambda device: False)
    engine = load_engine(generator, "fast")
    assert engine.name == "fused kernels, float32" and "bfloat16" in engine.notice
    monkeypatch.setattr(cpu, "has_fast_bf16", lambda device: True)
    engine = load_engine(generator, "fast")
    assert engine.name == "fused kernels, bfloat16" and not engine.notice


@pytest.fixture
def kernels_not_imported(monkeypatch):
    for name in ("generators.engines.kernels", "compiling"):
        monkeypatch.delitem(sys.modules, f"models.{name}", raising=False)


@pytest.mark.parametrize("switch", ["", "NUMBA_DISABLE_JIT"])
def test_without_numba_the_plain_network_runs(monkeypatch, kernels_not_imported, switch):
    generator = NETWORKS["studio"]()
    if switch:
        monkeypatch.setenv(switch, "1")
        monkeypatch.setattr(config, switch.removeprefix("NUMBA_"), 1)
    else:
        monkeypatch.setitem(sys.modules, "numba", None)
    engine = load_engine(generator, "exact")
    assert engine.name == "plain torch, float32" and "numba cannot compile" in engine.notice
    assert (f"Unset {switch}." if switch else "Make the environment again.") in engine.notice
    w = codes(generator)
    assert torch.equal(engine.synthesis(w), generator.synthesis(w))


@pytest.mark.slow
def test_kernels_are_compiled_once_for_all_processes():
    if kernels_place() is None:
        pytest.skip("no folder to keep compiled kernels in")
    generator = NETWORKS["studio"]()
    load_engine(generator, "exact").synthesis(codes(generator, 1))
    script = (
        "from tests.unit.test_generators_engines import *\nfrom models.generators.engines import kernels\n"
        "generator = NETWORKS['studio']()\nload_engine(generator, 'exact').synthesis(codes(generator, 1))\n"
        "for kernel in (kernels.activate_rows, kernels.blur_rows):\n"
        "    print(sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()))"
    )
    answer = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert answer.stdout.splitlines() == ["1 0", "1 0"], answer.stderr


def test_what_cannot_be_asked_for():
    generator = NETWORKS["studio"]()
    with pytest.raises(ValueError, match="exactness"):
        load_engine(generator, "good")
    with pytest.raises(StyleRigError, match="no device"):
        load_engine(generator, device="meta")
    if not torch.cuda.is_available():
        with pytest.raises(StyleRigError, match="no device 'cuda'"):
            load_engine(generator, device="cuda")
    with pytest.raises(ValueError, match="num_ws"):
        load_engine(generator).synthesis(torch.zeros(1, generator.w_dim))


def test_threads_may_share_an_engine():
    generator = NETWORKS["studio"]()
    engine = load_engine(generator, "exact")
    w = codes(generator, 6)
    alone = [engine.synthesis(code[None]) for code in w]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda code: engine.synthesis(code[None]), w))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=False))


def test_bfloat16_is_rounded_as_torch_does():
    from numba import njit

    @njit
    def round_trip(values, halves, back):
        for index in range(len(values)):
            store(halves, np.uintp(index), values[index])
            back[index] = load(halves, np.uintp(index))

    values = torch.randn(1000) * 10 ** torch.linspace(-20, 20, 1000)
    values[:4] = torch.tensor([0.0, -0.0, 1.00390625, 1.01171875])  # the last two lie half way
    halves, back = np.zeros(1000, np.uint16), np.zeros(1000, np.float32)
    round_trip(values.numpy(), halves, back)
    assert np.array_equal(halves, array(values.bfloat16()))
    assert np.array_equal(back, values.bfloat16().float().numpy())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_the_processor(generator):
    w = codes(generator)
    truth = generator.synthesis(w)
    for exactness, decibels in (("exact", 60), ("fast", 40)):
        engine = load_engine(generator, exactness, "cuda")
        for _ in range(2):
            error = (engine.synthesis(w.cuda()).cpu() - truth).square().mean().sqrt() / truth.abs().max()
            assert -20 * math.log10(float(error)) > decibels


@pytest.mark.parametrize("box", [Box(20, 41, 17, 30), Box(0, 9, 40, 64), Box(31, 32, 31, 32), Box(0, 64, 0, 64)])
def test_a_part_of_a_picture_is_what_the_whole_shows_there_whatever_the_number_of_threads(box):
    generator = NETWORKS["stylegan2"]()
    w = generator.mapping(latents_from_seed(1, 1, generator.z_dim))
    whole, parts = load_engine(generator, "exact").raw(w), []
    for count in (1, 2, 3):
        parts.append(load_engine(generator, "exact", scheduler=CpuScheduler(count)).raw(w, boxes=[box]))
        part = parts[-1]
        assert torch.allclose(part[0][:, *box.place], whole[0][:, *box.place], atol=1e-5) and torch.equal(part, parts[0])
        assert part.shape == whole.shape and part.count_nonzero() == part[0][:, *box.place].count_nonzero(), "the rest is 0"


def test_of_coarse_blocks_only_what_a_part_needs_is_drawn():
    parts = drawn_parts(Box(96, 128, 64, 100), [4, 8, 16, 32, 64, 128, 256])
    assert parts[0] == Box.whole(4) and [part.height for part in parts][-1] <= 32 + 8
    assert all(0 <= part.top < part.bottom <= size for part, size in zip(parts, (4, 8, 16, 32, 64, 128, 256), strict=False))
    for coarse, fine in pairwise(parts):
        source = fine.top // 2, fine.bottom // 2, fine.left // 2, fine.right // 2
        assert coarse.top <= source[0] and source[1] <= coarse.bottom and coarse.left <= source[2] and source[3] <= coarse.right


def test_small_pictures_are_drawn_side_by_side_and_are_the_same():
    generator = NETWORKS["studio"]()
    w = generator.mapping(latents_from_seed(1, 5, generator.z_dim))
    before = torch.get_num_threads()
    one, four = CpuScheduler(1), CpuScheduler(4)
    alone, together = (load_engine(generator, "exact", scheduler=scheduler).raw(w) for scheduler in (one, four))
    assert one.small.executor is None and four.small.executor is not None
    assert torch.equal(alone, together) and torch.get_num_threads() == before


@pytest.mark.parametrize("plain", [False, True])
def test_threads_that_callers_leave_to_the_scheduler_draw_in_one_place(monkeypatch, plain):
    generator = NETWORKS["stylegan2"]()
    w = generator.mapping(latents_from_seed(1, 1, generator.z_dim))
    before, drawn = torch.get_num_threads(), []
    try:
        torch.set_num_threads(3)
        whole = load_engine(generator, "exact").raw(w)
        scheduler = CpuScheduler.reserve()
        assert torch.get_num_threads() == 1 and scheduler.total == 3
        runner = engines.TorchRunner(generator, torch.float32, scheduler)
        if not plain:
            runner = load_engine(generator, "exact", scheduler=scheduler).runner
        part, name = (runner, "draw") if plain else (runner.fused, "raw")
        draw = getattr(part, name)
        monkeypatch.setattr(part, name, lambda *given: drawn.append((threading.get_ident(), torch.get_num_threads())) or draw(*given))
        with ThreadPoolExecutor(2) as callers:
            pictures = list(callers.map(lambda _: runner.raw(w, "const", 0, None), range(2)))
        assert all(torch.allclose(picture, whole, atol=1e-5) for picture in pictures)
        assert {count for _, count in drawn} <= {3, 1}, "all threads, or where two are drawn side by side half of them"
        assert threading.get_ident() not in {thread for thread, _ in drawn}
    finally:
        torch.set_num_threads(before)


def test_a_scheduler_of_its_own_draws_where_it_is_asked_with_its_own_number_of_threads():
    found = CpuScheduler(3).map(lambda number, slot: (number, slot.index, torch.get_num_threads(), threading.get_ident()), [(7,), (8,)])
    assert found == [(7, 0, 3, threading.get_ident()), (8, 0, 3, threading.get_ident())]


def test_workers_share_the_threads_and_have_slots_of_their_own():
    group, both = CpuScheduler(4).small, threading.Barrier(2)

    def work(number, slot):
        both.wait(timeout=20)  # neither worker does both
        return number, slot.index, torch.get_num_threads(), torch.is_grad_enabled()

    found = group.map(work, [(7,), (8,)])
    assert [entry[0] for entry in found] == [7, 8]
    assert {entry[1] for entry in found} == {1, 2}
    assert {entry[2:] for entry in found} == {(2, False)}
    assert not group.busy


@pytest.mark.parametrize("threads", [1, 3])
def test_a_slots_helpers_do_every_tile_once(threads):
    done, slot = [], WorkerSlot(0, threads)
    slot.share(lambda name, first, last: done.extend((name, tile) for tile in range(first, last)), ("a",), 50, 1 << 20)
    assert sorted(done) == [("a", tile) for tile in range(50)]
    assert (slot.helpers is None) == (threads == 1)


def test_workers_in_which_onednn_makes_no_more_code_are_used_no_more():
    group, both = WorkerGroup([WorkerSlot(0, 1), WorkerSlot(1, 1)]), threading.Barrier(2)

    def draw(fails: bool, slot: WorkerSlot) -> tuple[threading.Thread, int]:
        both.wait(20)  # neither worker does both
        if fails:
            raise RuntimeError("could not create a primitive")
        return threading.current_thread(), slot.index

    before = group.map(draw, [(False,), (False,)])
    with pytest.raises(RuntimeError, match="primitive"):
        group.map(draw, [(True,), (False,)])
    after = group.map(draw, [(False,), (False,)])
    assert {slot for _, slot in after} == {slot for _, slot in before} == {0, 1}
    assert {thread for thread, _ in after}.isdisjoint(thread for thread, _ in before)


@pytest.mark.parametrize("name", ["studio", "stylegan3-t"])
def test_an_engine_that_began_in_inference_mode_goes_on_without_it(name):
    generator = NETWORKS[name]()
    w = generator.mapping(latents_from_seed(1, 2, generator.z_dim))
    engine = load_engine(generator, "exact")
    with torch.inference_mode():
        inside = engine.raw(w).clone()
    assert torch.equal(engine.raw(w), inside)
