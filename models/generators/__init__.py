"""StyleGAN generators: networks, their files, and how to draw from them."""

from models.generators.checkpoints.checkpoint import load_generator, save_generator
from models.generators.config import GeneratorConfig
from models.generators.engines import Box, CpuScheduler, Engine, load_engine, spoils_thread, torch_threads
from models.generators.generator import Generator
from models.generators.latents import latents_from_seed, mix_styles

__all__ = ["Box", "CpuScheduler", "Engine", "Generator", "GeneratorConfig", "latents_from_seed", "load_engine", "load_generator",
           "mix_styles", "save_generator", "spoils_thread", "torch_threads"]  # fmt: skip
