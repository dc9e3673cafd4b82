"""The model served over HTTP: `xdecoder serve`.

>>> from xdecoder.server.app import create_app
"""
