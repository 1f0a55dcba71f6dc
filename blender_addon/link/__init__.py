"""Talking to the backend: its process, the HTTP client, the live loop."""
