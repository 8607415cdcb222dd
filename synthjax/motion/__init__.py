"""Motion clips: their format, the library that is sampled on the device, importers and retargeting."""
