"""Networks without Python: ONNX files, and a page on which a head is turned by hand."""

from pyro_dcign.explorer.export import export_onnx
from pyro_dcign.explorer.page import write_page

__all__ = ["export_onnx", "write_page"]
