"""The stack of delegraph with Kafka and PostgreSQL. Nothing here is part of the installed packages."""
