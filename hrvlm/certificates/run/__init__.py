"""Certifying the images of a data set: what is asked, the passes over images and noise, and what alpha is spent on."""
