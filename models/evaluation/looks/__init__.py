"""How well looks do what they are for, on people whom their training never saw."""
