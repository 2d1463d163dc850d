"""Canonical types, errors, the record, and the protocols between the rooms. No I/O."""
