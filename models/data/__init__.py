"""Pictures to train and measure on, with the truth that determines them."""
