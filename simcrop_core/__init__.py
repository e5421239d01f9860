"""The SimCroP engine: a chest CT and sentences in, places in the scan out."""

__version__ = "0.1.0"
