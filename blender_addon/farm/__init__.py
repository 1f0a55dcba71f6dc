"""Rendering on other machines: by Flamenco's manager, or by Ray through the backend's command line."""
