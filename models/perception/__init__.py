"""Networks that read a portrait: landmarks and rig parameters, features."""
