"""Every picture, in one style."""
