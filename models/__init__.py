"""Network families, one per file. Needs torch only."""
