"""The interlay command."""
