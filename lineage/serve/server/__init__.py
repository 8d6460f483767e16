"""Starting, warming and stopping the HTTP server."""
