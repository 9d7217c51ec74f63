"""Measurements on a GPU: ours and the peers', and the report of them. Run from the repository's root."""
