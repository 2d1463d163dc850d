"""What needs a third party's package or format; found by entry points."""
