"""Training of SimCroP: data, objectives, one loop."""
