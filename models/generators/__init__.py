"""StyleGAN generators: networks, their files, and how to draw from them."""

from models.generators.checkpoint import load_generator
from models.generators.config import GeneratorConfig
from models.generators.engines import Box, Engine, give_threads, load_engine
from models.generators.generator import Generator, latents_from_seed, mix_styles

__all__ = ["Box", "Engine", "Generator", "GeneratorConfig", "give_threads", "latents_from_seed", "load_engine",
           "load_generator", "mix_styles"]  # fmt: skip
