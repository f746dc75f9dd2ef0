"""Metrics export: what detection measured, published to the topics that profiles name."""
