"""Models as graphs that run without PyTorch."""
