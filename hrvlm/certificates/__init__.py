"""Certificates: pure functions on tensors and arrays, and the records they are kept in."""
