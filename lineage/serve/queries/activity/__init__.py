"""What was done: actions by filter, the uses of an element or a tool, and the questions of governance."""
