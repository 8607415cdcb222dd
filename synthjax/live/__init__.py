"""Viewer, dashboard and inference beside a running training."""
