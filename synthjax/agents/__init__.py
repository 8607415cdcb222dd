"""Learning algorithms: they see the environment protocol and nothing else of an environment."""
