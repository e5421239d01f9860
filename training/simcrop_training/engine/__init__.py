"""The loop and its checkpoints."""
