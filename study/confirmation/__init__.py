"""Retraining a search's leaders with fresh seeds: a study of its own, linked to the search, and what it says."""
