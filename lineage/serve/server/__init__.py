"""The HTTP server below the application: sockets, connections, and the framing of requests."""
