"""Joint certificates: every image within a radius, and every semantic move up to an extent, at once."""
