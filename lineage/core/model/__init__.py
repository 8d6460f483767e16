"""The vocabulary: events, records, times, trust and errors."""
