"""Codecs between one wire API and the canonical model: bytes in, events out."""
