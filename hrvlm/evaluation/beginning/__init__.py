"""First configurations for pictures of one's own."""
