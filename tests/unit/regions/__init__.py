"""Laws of the fleet's description."""
