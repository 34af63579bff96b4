"""Fused Triton kernels of the networks, the clamp and the densities, for CUDA.

Each is the plain PyTorch path's function with its gradients in one or two kernels; tests compare
them with it. A module here is imported only where :func:`pyro_dcign.machine.usable` holds.
"""
