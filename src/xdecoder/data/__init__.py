"""Data sets: `catalog.DATASETS` is the table, `opening.open_dataset` the door, `records` what comes out."""
