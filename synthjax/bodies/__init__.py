"""Humanoids: a table of bones turned into MJCF, or a user's own MJCF behind the same interface."""
