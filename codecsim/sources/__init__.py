"""Sources of corpora: one module a kind of footage, and what they share."""
