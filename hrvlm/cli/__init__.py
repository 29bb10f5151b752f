"""The only code that parses arguments."""
