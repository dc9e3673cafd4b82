"""One page that shows a model at work: held-out drawn scenes beside their truth, and the user's images."""
