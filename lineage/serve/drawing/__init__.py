"""Pictures of answers: nodes and edges, their layout, and the formats in which they are written."""
