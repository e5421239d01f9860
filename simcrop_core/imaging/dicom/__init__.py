"""DICOM series, as folders, archives or one of their files, to volumes."""
