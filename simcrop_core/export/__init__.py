"""Results as files: images, figures, pages and JSON."""
