"""Block coordinate descent: sparse models, non-negative least squares, label propagation, quadratics."""
