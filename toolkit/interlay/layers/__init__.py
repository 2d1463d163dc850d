"""Layers: what may change what the caller gets. One file each."""

from interlay.layers.retry import Retry as Retry
from interlay.layers.timeout import Timeout as Timeout
