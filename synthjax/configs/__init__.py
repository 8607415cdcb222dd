"""Presets: frozen instances of the training configuration, one file an experiment."""
