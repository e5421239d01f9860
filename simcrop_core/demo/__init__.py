"""The main job on a real chest CT that anyone can have, measured against its labels."""
