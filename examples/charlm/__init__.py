"""A character language model of Python: trained, pruned, compiled, measured, and shown."""
