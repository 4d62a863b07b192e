"""How a study is configured, searched, run and reported; the command line lives here."""
