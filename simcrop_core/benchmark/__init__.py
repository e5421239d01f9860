"""`simcrop bench`: the engine's speed on this machine, beside its peers in the same run."""
