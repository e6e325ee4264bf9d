"""Every experiment on a device that is not there, beside the CPU."""
