"""Encode a scan once, then ask it many things."""
