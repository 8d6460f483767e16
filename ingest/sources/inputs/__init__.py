"""The inputs of `delegraph collect`: files, requests, topics and connections, kept until the log has their records."""
