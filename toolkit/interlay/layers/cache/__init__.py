"""Cache: equal requests get equal answers, free and at once."""

from interlay.layers.cache.layer import Cache as Cache
