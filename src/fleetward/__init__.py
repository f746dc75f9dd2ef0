"""Fleetward: notices the IoT device that misbehaves, and cuts it off."""

__version__ = "0.1.0"
