"""The training store: a data set already in the model frame, cheap to cut crops out of (docs/training-data.md)."""
