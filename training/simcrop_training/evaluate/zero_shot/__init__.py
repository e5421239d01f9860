"""Findings told from prompts alone, without training on a label."""
