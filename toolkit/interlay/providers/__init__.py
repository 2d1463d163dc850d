"""Who serves models: the catalogue, credentials and error mapping."""
