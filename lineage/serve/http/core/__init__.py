"""What all endpoints share: question parsing, bodies, cursors, responses and faults."""
