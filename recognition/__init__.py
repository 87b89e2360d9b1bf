"""The decoder side: networks that read faces from decoded LR frames, how they are trained, and how well they read."""
