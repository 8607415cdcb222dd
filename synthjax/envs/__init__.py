"""Environments: observation, reward, termination and reset, one world at a time."""
