"""Teaching DiscoFaceGAN: the decoders of what a 3DMM shows, then a generator that imitates and contrasts."""
