"""Long-running processes: consumer, delivery, HTTP server, live graph, health server, metrics, logs."""
