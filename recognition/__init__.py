"""The decoder side: networks that read faces from decoded LR frames. Nothing is here yet; see the changelog."""
