"""Answers: one service, and the interfaces (command line, HTTP, pages) that present them."""
