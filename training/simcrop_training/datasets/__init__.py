"""Data sets of CTs and reports as their owners publish them, read into one form."""
