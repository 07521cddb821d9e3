"""The ports' implementations: the RAG service and the engine over HTTP, and one of each in memory."""
