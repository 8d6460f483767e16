"""What retention deleted, and the legal holds."""
