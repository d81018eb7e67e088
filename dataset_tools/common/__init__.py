"""What every stage shares: command-line manners, files written whole, devices, progress, weights, memory, pages."""
