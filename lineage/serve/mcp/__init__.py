"""The questions as read-only tools for other agents, by the Model Context Protocol (MCP)."""
