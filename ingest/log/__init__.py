"""The log port (append, read from a position), the embedded log, and the sink a producer sends to."""
