"""The call, the layers round it, its stream and its record."""
