"""Measuring what weights can do."""
