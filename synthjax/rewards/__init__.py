"""Reward terms as pure functions of arrays."""
