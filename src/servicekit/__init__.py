"""What the HTTP edge of every service shares: service tokens, the error envelope, health, the outbound client."""
