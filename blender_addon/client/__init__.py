"""Talking to the backend: the HTTP client, its process, work in threads."""
