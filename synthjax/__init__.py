"""Physics humanoids that learn to move like motion clips, trained in JAX on MuJoCo.

Importing the package loads nothing heavy: take what you need from its subpackages.
"""

__version__ = "0.1.0"
