"""StyleGAN generators: networks, their files, and how to draw from them."""

from models.generators.checkpoints.checkpoint import load_generator, save_generator
from models.generators.config import GeneratorConfig
from models.generators.engines import Box, Engine, all_threads, give_threads, load_engine, one_thread, spoils_thread
from models.generators.generator import Generator
from models.generators.latents import latents_from_seed, mix_styles

__all__ = ["Box", "Engine", "Generator", "GeneratorConfig", "all_threads", "give_threads", "latents_from_seed", "load_engine",
           "load_generator", "mix_styles", "one_thread", "save_generator", "spoils_thread"]  # fmt: skip
