"""Reports over many runs: label accuracy, claims, the results document, samples side by side."""
