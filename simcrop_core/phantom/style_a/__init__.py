"""The first generator: what training data are drawn with."""
