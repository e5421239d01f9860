"""Synthetic chest CTs drawn from implicit shapes, with the sentences that describe them and the truth masks."""
