"""The second generator: for measuring only, written without the first."""
