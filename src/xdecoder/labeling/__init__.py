"""Labeling tools' formats: one module each, for what writes them and for what of a file is read by itself."""
