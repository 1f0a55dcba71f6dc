"""Looks: image-to-image translation on the portrait (pix2pix, CycleGAN, CUT, StarGAN, StarGAN v2, CoGAN)."""

from models.translation.files import is_look, load_look, save_look
from models.translation.look import Look, make_look

__all__ = ["Look", "is_look", "load_look", "make_look", "save_look"]
