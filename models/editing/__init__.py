"""Editing by directions in a generator's latent space: SeFa, InterFaceGAN."""
