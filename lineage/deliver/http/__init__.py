"""HTTP parts shared by all delivery endpoints: callers, problem documents, signing keys, routes."""
