"""All ways to steer a StyleGAN side by side: the same requests, read from the pictures by the same outside network."""

from models.evaluation.methods.judge import open_judge
from models.evaluation.methods.method import Method
from models.evaluation.methods.run import evaluate_methods

__all__ = ["Method", "evaluate_methods", "open_judge"]
