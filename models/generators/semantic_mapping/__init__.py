"""Mapping networks that begin with what z means instead of with z itself; each kind of meaning is frozen for ever."""

from models.generators.semantic_mapping.mapping import SemanticMapping, features_of

__all__ = ["SemanticMapping", "features_of"]
