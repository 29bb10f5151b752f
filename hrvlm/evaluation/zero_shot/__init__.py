"""Accuracy of classifiers made of class names and prompts, clean and attacked, on any pictures."""
