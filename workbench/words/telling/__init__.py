"""What the words that look tell, and `--dry-run`. Each is imported when its word runs: `--help` loads none of it."""
