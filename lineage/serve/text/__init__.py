"""Documents as text for the console."""
