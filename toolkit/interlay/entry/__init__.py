"""The ways in: wrap, instrument, using and their kin."""
