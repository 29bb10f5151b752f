"""How many samples a question takes."""
