"""One seam to three engines: native MuJoCo, MJX-JAX and MJX-Warp."""
