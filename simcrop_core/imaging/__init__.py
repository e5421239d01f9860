"""From a file to the model's frame, and the way back."""
