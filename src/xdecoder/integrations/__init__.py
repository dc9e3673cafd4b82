"""The model as a part of other programs, which load it as they load their own."""
