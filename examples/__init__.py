"""Cells to compile as they are, and a model that is trained, pruned and compiled."""
