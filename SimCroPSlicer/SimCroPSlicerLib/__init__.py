"""What the SimCroP module is made of; see docs/slicer-developer.md."""
