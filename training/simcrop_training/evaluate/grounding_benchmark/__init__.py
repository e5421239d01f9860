"""How well sentences find their masks, beside guesses that do not look; and whether a model looks at all."""
