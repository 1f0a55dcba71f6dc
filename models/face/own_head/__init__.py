"""Edition 2 of our head: named modes of identity, teeth in gums, a tongue; built once and loaded from a file."""
