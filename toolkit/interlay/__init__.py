"""One line round the LLM client you already have."""

__version__ = "0.1.0"
