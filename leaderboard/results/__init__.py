"""The results document of a matrix: tables beside the paper's, claims, figures."""
