"""Layers: one file each, each able to change what the caller gets."""
