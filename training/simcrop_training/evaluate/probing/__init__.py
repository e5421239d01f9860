"""Linear probes on frozen encoders: the released protocol, a clean one, and transfer to another set."""
