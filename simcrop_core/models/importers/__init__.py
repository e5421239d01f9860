"""Third-party checkpoints into weights files: one small file a source, each with a report of every key."""
