"""Session files: one SQLite file holds everything that was done. SCHEMA.md is the document."""
