"""Models that answer in words: the label that an oracle, or an ideal one, gives to the answers."""
