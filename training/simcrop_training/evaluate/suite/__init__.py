"""Every benchmark at once, on phantoms in the form of each data set, and one page of what came out."""
