//! PostgreSQL as a source system.
