"""The mfviz explorer: ``mfviz explore`` serves this file. Everything lives in the package."""

from mfviz.views.page import serve

serve()
