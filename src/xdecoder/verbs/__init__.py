"""What the predictor's verbs do: encoded images in, records out; one file a verb."""
