"""The ASGI application, its middleware and its HTTP protocol."""
