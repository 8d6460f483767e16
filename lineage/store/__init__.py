"""Facts in SQL. The only place that knows SQLAlchemy; append-only."""
