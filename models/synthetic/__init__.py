"""Portraits of people that do not exist, with their exact truth, to teach generators and estimators."""
