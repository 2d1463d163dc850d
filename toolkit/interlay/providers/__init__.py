"""Who serves models: the catalogue, credentials and error mapping."""

from interlay.providers.hosts import Provider, asks_usage, provider, provider_at, provider_of, stream_usage

__all__ = ["Provider", "asks_usage", "provider", "provider_at", "provider_of", "stream_usage"]
