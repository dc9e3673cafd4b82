"""Images and their regions in a database, found by words, by likeness, by filters.

>>> from xdecoder.search import Index
"""

from xdecoder.search.found import Found, FoundRegion, Hit
from xdecoder.search.index import Example, Index
from xdecoder.search.indexing import Failure, IndexingReport
from xdecoder.search.page import write_page

__all__ = ["Example", "Failure", "Found", "FoundRegion", "Hit", "Index", "IndexingReport", "write_page"]
