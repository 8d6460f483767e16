"""What runs delegraph with Kafka and PostgreSQL. Nothing here is part of the package."""
