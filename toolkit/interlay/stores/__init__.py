"""Where answers are kept: bytes by key with a lifetime, and what those bytes are."""

from interlay.stores.opening import open_store as open_store
