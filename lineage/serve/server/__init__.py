"""The HTTP server below the application: listening, connections, and the framing of requests."""
