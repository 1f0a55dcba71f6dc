"""Any processor: nothing is used that it, torch or numba may lack."""

from __future__ import annotations

import errno
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numba import config
from numba.core.caching import IndexDataCacheFile

from models import compiling
from models.generators import Generator, GeneratorConfig, cpu, load_engine
from models.generators.bias_act import gathered_passes
from models.generators.engines.convolution import Convolution
from models.training.generator.networks import Networks
from tests.integration.test_training_generator import TINY

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("models", "backend", "tests", "docs")
AVX512 = {"avx2": True, "avx512_f": True}
# What the processor has, whether oneDNN takes bfloat16 there: is it quick, are weights of it packed?
PROCESSORS = {
    "AVX2": ({"avx2": True}, False, (False, False)),
    "AVX-512": (AVX512, True, (False, True)),
    "AVX-512 BF16": (AVX512 | {"avx512_bf16": True}, True, (True, True)),
    "AMX": (AVX512 | {"amx_tile": True, "amx_bf16": True}, True, (True, True)),
    "AMX, oneDNN held to AVX2": (AVX512 | {"amx_tile": True, "amx_bf16": True}, False, (False, False)),
    "ARM": ({"neon": True, "bf16": True}, True, (False, True)),
    "unknown": ({}, False, (False, False)),
}


@pytest.fixture(params=sorted(PROCESSORS))
def simulated(request, monkeypatch) -> tuple[bool, bool]:
    """A torch that believes to be on that processor; what is expected of it."""
    capabilities, takes, expected = PROCESSORS[request.param]
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(cpu, "PACKED", ())
    monkeypatch.setattr(cpu, "onednn_takes_bf16", lambda: takes)
    return expected


def test_what_is_chosen_on_each_processor(simulated):
    fast, packs = simulated
    generator = Generator.create(GeneratorConfig(resolution=8, channels={4: 8, 8: 8}))
    assert generator.fast().precision == ("bf16" if fast else "float32")
    engine = load_engine(generator, "fast")
    assert engine.name == f"fused kernels, {'bfloat16' if fast else 'float32'}"
    assert engine.notice == ("" if fast else cpu.NO_BF16)
    assert load_engine(generator, "exact").name == "fused kernels, float32"
    weight = torch.zeros(16, 16, 1, 1)
    assert Convolution(weight, (0, 0), torch.bfloat16, 16).packs == packs
    assert Convolution(weight, (0, 0), torch.float32, 16).packs


@pytest.mark.parametrize("wanted", ["auto", "bf16", "float32"])
def test_what_trainings_compute_in(simulated, wanted):
    networks = Networks(TINY.replace(precision=wanted), 0, torch.device("cpu"))
    in_bf16 = simulated[0] and wanted != "float32"
    assert networks.generator.precision == ("bf16" if in_bf16 else "float32")
    assert networks.discriminator.dtype == networks.generator.synthesis.dtype
    assert networks.notice == (cpu.NO_BF16 if wanted == "bf16" and not in_bf16 else "")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("packed", [True, False])
def test_convolutions_equal_torchs(monkeypatch, dtype, packed):
    if not packed:
        monkeypatch.setattr(cpu, "PACKED", ("_no_such_operation",))
    elif not cpu.packs_weights(dtype):
        pytest.skip(f"oneDNN computes no convolutions of packed {dtype} weights on this processor")
    x, weight = torch.randn(9, 10, 16).to(dtype), torch.randn(16, 16, 3, 3)
    convolution = Convolution(weight, (1, 1), dtype, 16)
    assert convolution.packs == packed
    truth = torch.nn.functional.conv2d(x.float().permute(2, 0, 1)[None], weight.to(dtype).float(), padding=1)[0].permute(1, 2, 0)
    error = (convolution(x).float() - truth).abs().max() / truth.abs().max()
    assert error < (1e-5 if dtype == torch.float32 else 1e-2)


def private_names(path: Path) -> set[str]:
    """Dotted names of torch that a source file uses and torch does not promise to keep."""
    text = re.sub(r"from (torch[\w.]*) import (\w+)", r"\1.\2", path.read_text(encoding="utf-8"))
    return {name for name in re.findall(r"\btorch(?:\.\w+)+", text) if "._" in name and "__" not in name}


def find(name: str) -> object:
    """What a dotted name of torch stands for. Raises AttributeError."""
    found: object = torch
    for count, part in enumerate(name.split(".")[1:], 2):
        if not hasattr(found, part):
            importlib.import_module(".".join(name.split(".")[:count]))
        found = getattr(found, part)
    return found


def test_private_operations_are_still_there():
    used = {name for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") for name in private_names(path)}
    used |= {f"torch.ops.mkldnn.{name}" for name in (*cpu.PACKED, "_is_mkldnn_bf16_supported")}
    assert {"torch._foreach_lerp_", "torch.ops.mkldnn._convolution_pointwise"} < used
    if not torch.backends.mkldnn.is_available():
        used = {name for name in used if "mkldnn" not in name}
    gone = []
    for name in sorted(used):
        try:
            find(name)
        except (AttributeError, ImportError):
            gone.append(name)
    assert not gone, f"torch {torch.__version__} has these private names no longer: find other means"
    with gathered_passes(compiled=True):  # a setting of torch._dynamo
        assert torch._dynamo.config.recompile_limit == 256


# Kernels -------------------------------------------------------------------------------------


def twice(values):
    return values + values


def computes(kernel) -> bool:
    return kernel(np.float32(2)) == 4


@pytest.fixture
def kept_in(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    return tmp_path


def test_kernels_are_kept_where_it_is_said(kept_in):
    kernel = compiling.compiled(twice)
    assert compiling.place_of(kernel).is_relative_to(kept_in)
    assert computes(kernel) and computes(again := compiling.compiled(twice))
    assert sum(again.stats.cache_hits.values()) == 1


def test_a_kernel_is_compiled_anew_when_a_constant_of_another_module_changed(kept_in, tmp_path):
    (tmp_path / "kernel.py").write_text(
        "import numpy as np\nfrom constants import FACTOR\nfrom models.compiling import compiled\n_FACTOR = np.array((FACTOR,))\n\n\n"
        "@compiled\ndef scaled(value):\n    return value * _FACTOR[0]\n"
    )
    script = "import kernel; print(kernel.scaled(2.0), sum(kernel.scaled.stats.cache_hits.values()))"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    said = []
    for factor in (1.5, 1.5, 4.0):
        (tmp_path / "constants.py").write_text(f"FACTOR = {factor}\n")
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)  # Python's own, which sees a file's second and size alone
        run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
        said.append(run.stdout.split())
    assert said == [["3.0", "0"], ["3.0", "1"], ["8.0", "0"]]


def test_kernels_run_where_there_is_no_place_to_keep_them(monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", "")
    for locators in ("UserProvidedCacheLocator", "NoSuchLocator"):
        monkeypatch.setattr(config, "CACHE_LOCATOR_CLASSES", locators)
        kernel = compiling.compiled(twice)
        assert compiling.place_of(kernel) is None and computes(kernel)


def test_kernels_run_on_a_full_disk(kept_in, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(IndexDataCacheFile, "save", full)
    assert computes(compiling.compiled(twice))


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
def test_kernels_whose_files_are_cut_short_are_compiled_and_kept_again(kept_in, ending):
    assert computes(compiling.compiled(twice))
    (file,) = kept_in.rglob(f"*{ending}")
    file.write_bytes(file.read_bytes()[:20])
    for hits in (0, 1):
        kernel = compiling.compiled(twice)
        assert computes(kernel) and sum(kernel.stats.cache_hits.values()) == hits


def test_without_a_home_no_folder_appears_in_the_current_one(monkeypatch):
    monkeypatch.setattr(config, "CACHE_LOCATOR_CLASSES", "")
    compiling.choose_places()
    assert not config.CACHE_LOCATOR_CLASSES or not os.path.isabs(os.path.expanduser("~"))
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    compiling.choose_places()
    assert "UserWide" not in config.CACHE_LOCATOR_CLASSES and "InTree" in config.CACHE_LOCATOR_CLASSES


@pytest.mark.parametrize(
    ("switch", "value", "words"),
    [
        ("DISABLE_JIT", 1, "NUMBA_DISABLE_JIT is set"),
        ("CPU_NAME", "pentium-mmx", "which this processor is not"),
        ("CPU_FEATURES", "-fma,+no-such-feature", "lacks"),
        ("CPU_FEATURES", "avx2", "lacks"),  # LLVM would end the process
    ],
)
def test_what_numba_must_not_be_told(monkeypatch, switch, value, words):
    compiling.check_switches()
    monkeypatch.setattr(config, switch, value)
    with pytest.raises(ImportError, match=words):
        compiling.check_switches()


@pytest.mark.parametrize(("name", "features"), [("generic", ""), (None, "-fma"), (None, None)])
def test_what_numba_may_be_told(monkeypatch, name, features):
    monkeypatch.setattr(config, "CPU_NAME", name)
    monkeypatch.setattr(config, "CPU_FEATURES", features)
    compiling.check_switches()
