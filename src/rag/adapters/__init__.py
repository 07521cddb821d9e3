"""The ports' implementations: PostgreSQL, FAISS and sentence-transformers, and for each one in memory."""
