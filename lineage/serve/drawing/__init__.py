"""Pictures of answers: nodes and edges, their layout, and output formats."""
