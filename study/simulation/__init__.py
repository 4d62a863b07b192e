"""A toy water-Cherenkov detector: particles, light, electronics, events in the reference format."""
