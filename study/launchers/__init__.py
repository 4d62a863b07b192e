"""Where agents run, one way per file: `LAUNCHER` of each module."""
