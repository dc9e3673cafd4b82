"""The drawings of the thirty categories, one function each variant, and how each kind is placed."""
