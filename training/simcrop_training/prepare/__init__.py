"""From a data set to a training store."""
