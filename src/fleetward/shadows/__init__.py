"""Device shadows: what a device should be like, what it says it is like, and the difference (AWS IoT Core, "AWS IoT
Device Shadow service")."""
