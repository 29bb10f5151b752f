"""Names of the files in a folder of results, for commands that only read it."""

SUMMARY, SETTINGS = "summary.json", "settings.json"
ROWS_OF = {"run": "certificates.jsonl", "attack": "robustness.jsonl", "push": "pushes.jsonl"}
