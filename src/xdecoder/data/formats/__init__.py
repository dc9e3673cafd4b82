"""Labeling tools' files, one format a file; `table.FORMATS` lists them."""
