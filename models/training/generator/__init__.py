"""Teaching a generator: pairs of latents and images, then a discriminator."""
