"""Sensors, and the story of one that turns bad: what the demo tells and the tests walk through."""
