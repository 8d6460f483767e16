"""Settings, and the wiring of a process from them."""
