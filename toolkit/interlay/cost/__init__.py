"""Checked usage, the price book and exact costs."""
