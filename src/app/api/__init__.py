"""The orchestrator's HTTP edge: parse, check the token, call the service, write the events."""
