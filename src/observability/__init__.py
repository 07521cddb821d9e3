"""Names, metrics, logs and the HTTP middleware that every service shares."""
