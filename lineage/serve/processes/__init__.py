"""Long-running processes: consumer, delivery, live graph, health server, metrics, logs."""
