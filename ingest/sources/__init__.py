"""Read files and foreign logs into the log."""
