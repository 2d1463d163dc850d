"""Where answers are kept: bytes by key with a lifetime, and what those bytes are."""
