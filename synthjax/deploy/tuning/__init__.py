"""Fine-tuning beside a running body, on the TFLite runtime, native MuJoCo and NumPy: no JAX."""
