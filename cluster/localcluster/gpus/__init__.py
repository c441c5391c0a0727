"""Simulated GPUs: inventory, VRAM, utilisation, metrics under DCGM's names."""
