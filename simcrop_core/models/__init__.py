"""The networks, their weights files and importers."""
