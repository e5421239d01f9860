"""One file a method: what it learns and how that is measured."""
