"""Export of trained policies to TFLite bundles."""
