"""Signals of frames: databases that cantools reads, as far as they are good, and the decoder that looks frames up in them."""
