"""Hierarchical profiles: at every radius the deepest ancestor below which the smoothed class stays."""
