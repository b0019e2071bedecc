"""TensorRT engines: built, verified, explained. Needs numpy and tensorrt only, on Python 3.8 and later."""

from .builder import BuilderSettings
from .bundle import make_bundle
from .job import MakeOptions
from .make import make_engine
from .remote import build_on_host

__all__ = ["BuilderSettings", "MakeOptions", "build_on_host", "make_bundle", "make_engine"]
