"""Laws of the client."""
