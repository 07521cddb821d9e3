"""The orchestrator: one turn is a LangGraph run (classify, retrieve, generate, cite) streamed back as it happens."""
