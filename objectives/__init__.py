"""What one trial does: data in, training, metrics; one task per file."""
