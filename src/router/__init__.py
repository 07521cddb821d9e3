"""The router: the only public service. Identity, rules and limits, then a signed context for the services behind it."""
