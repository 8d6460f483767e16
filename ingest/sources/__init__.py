"""Files and other systems' logs, read into the log."""
