"""Event time: conversions, bounds and watermarks."""
