"""What stands behind the built-in registry keys."""
