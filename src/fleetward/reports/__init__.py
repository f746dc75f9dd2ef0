"""Device reports: taken from the gateway, answered, and handed to detection."""
