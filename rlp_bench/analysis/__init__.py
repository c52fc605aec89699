"""Reports over many runs: comparisons, claims, label accuracy, throughput, and side-by-side samples."""
