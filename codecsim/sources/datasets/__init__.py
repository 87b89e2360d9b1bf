"""Data sets that others hold, one module each, and what reading them takes. Nothing of them is written elsewhere."""
