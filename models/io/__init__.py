"""Files: opened with care where they come from others, written whole or not at all."""
