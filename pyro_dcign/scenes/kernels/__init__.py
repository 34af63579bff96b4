"""Fused Triton kernels of the renderer, for CUDA."""
