"""Readers of records: the journal, and what exporters say."""
