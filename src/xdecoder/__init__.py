"""X-Decoder: segmentation with words, referring, captioning, retrieval and answers from one model."""
