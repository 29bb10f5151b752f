"""Pure numbers: bounds on probabilities and means, radii, and claims that follow from counts."""
