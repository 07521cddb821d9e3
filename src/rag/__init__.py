"""The RAG service: one tenant's documents, chunked, embedded and searched in an index of that tenant alone."""
