"""The web door: a person signs in and works by mouse with the very operations that scripts call."""
