//! A TCP proxy in front of a PostgreSQL server.
