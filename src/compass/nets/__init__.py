"""PyTorch networks. Nothing below this floor imports torch."""
