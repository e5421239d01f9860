"""Phantoms as data sets: each in the folders, file names and tables of the set it stands in for (docs/phantoms.md)."""
