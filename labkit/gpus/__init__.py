"""The simulated accelerator: inventory, VRAM, utilisation, metrics under the names of DCGM."""
