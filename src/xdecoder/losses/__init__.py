"""Training losses: matching, terms (pure functions) and the objective that joins them."""
