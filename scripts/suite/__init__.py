"""What scripts/gpu_suite is made of."""
