"""Layers: what may change what the caller gets. One file, or folder, each."""

from interlay.layers.cache import Cache as Cache
from interlay.layers.retry import Retry as Retry
from interlay.layers.timeout import Timeout as Timeout
