"""The decoder side: how well faces are read from decoded LR frames. Networks are not here yet; see the changelog."""
