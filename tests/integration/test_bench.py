"""Every benchmark runs; that its figures are good, no test can say."""

from __future__ import annotations

import json
import math
import sys

import pytest
import torch

import tests.bench.__main__ as bench
from tests.bench import bench_generators, networks
from tests.blender.fake_backend import make_payload

EXPECTED = {  # some of the figures, which the docs speak of
    "blender": {"slider_to_pixels_ms", "animation_x", "idle_cost_us", "playback_fps", "read_light_ms"},
    "face": {"full_64_forward_ms", "proxy_64_forward_backward_ms"},
    "farm": {"paper_1000_efficiency"},
    "start": {"warm_picture_s", "part_kernels_cpu_s"},
    "frame": {"stylerig_portrait_and_passes_ms", "stylerig_expression_x", "large_both_x"},
    "looks": {"colourise_ms", "drawing_ms", "cyclegan_of_9_blocks_ms"},
    "generators": {"stylegan2-16 exact_speedup_x", "stylegan2-16 fast_dB"},
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def with_fake_backend(blender, tmp_path, monkeypatch):
    """Blender's part of the benchmark, but for the rig, whose loading takes longest."""
    monkeypatch.setenv("STYLERIG_PAYLOAD", str(make_payload(tmp_path / "payload")))
    monkeypatch.setattr("tests.bench.bench_blender.synthesis_times", lambda repeats: [10.0] * repeats)


@pytest.mark.slow
@pytest.mark.parametrize("name", bench.names())
def test_benchmarks_run(name, tmp_path, request):
    if name == "blender":
        request.getfixturevalue("with_fake_backend")  # or skipped, with the reason
    path = tmp_path / "figures.json"
    bench.measure([name], path, quick=True)
    figures = json.loads(path.read_text())[name]
    assert EXPECTED[name] <= set(figures)
    assert all(math.isfinite(value) for value in figures.values())
    assert all(value > 0 for figure, value in figures.items() if figure.endswith("_ms"))


@pytest.mark.slow
def test_the_generators_reference_agrees_with_the_engines(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    figures = bench_generators.measure(bench_generators.Case(lambda: networks.stylegan3(16, base=256, most=16), 1), "cpu")
    assert figures["exact_error"] < 1e-3 and figures["fast_dB"] > 35 and "exact_peak_GB" not in figures


def test_unknown_benchmarks_are_refused(monkeypatch, capsys):
    monkeypatch.setattr(bench.sys, "argv", ["bench", "speed"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "no benchmark speed; there are: blender, face, farm, frame, generators, looks, start" in capsys.readouterr().err
