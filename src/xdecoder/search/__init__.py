"""Images and their regions in a database, found by words, by likeness, by filters.

>>> from xdecoder.search import Index
"""

from xdecoder.jobs.isolation import FailedImage
from xdecoder.search.found import Found, FoundRegion, Hit
from xdecoder.search.index import Example, Index
from xdecoder.search.indexing import IndexingReport
from xdecoder.search.page import write_page

__all__ = ["Example", "FailedImage", "Found", "FoundRegion", "Hit", "Index", "IndexingReport", "write_page"]
