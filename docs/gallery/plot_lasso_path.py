r"""
A Lasso path, and which point of it to take
===========================================

:func:`numopt.coordinate.lasso_path` solves

.. math::

   \min_{x, c} \; \tfrac12 \|A x + c - b\|^2 + \lambda \|x\|_1

for a descending sequence of :math:`\lambda`, each problem from the solution of the one before. We draw the
coefficients, check the certificates, and choose :math:`\lambda` on data that were kept apart.
"""

# %%
# Ten measurements of 442 patients, with all their squares and products: 65 columns that are strongly correlated.
# Columns are brought to the same norm, since the penalty treats them alike.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from numopt.coordinate import lasso, lasso_path

X, y = load_diabetes(return_X_y=True)
X = StandardScaler().fit_transform(PolynomialFeatures(2, include_bias=False).fit_transform(X))

rng = np.random.default_rng(0)
order = rng.permutation(y.size)
train, test = order[:300], order[300:]

path = lasso_path(X[train], y[train], n_l1s=80, eps=1e-3, intercept=True, tol=1e-8)
print(f"{path.l1s.size} solutions in {path.time * 1e3:.0f} ms, {path.npass.sum():.0f} passes over the data")
print(f"all converged: {path.success}")

# %%
# From left to right the penalty falls from ``l1_max``, where all coefficients are zero, to a thousandth of it. The
# curves are piecewise linear in :math:`\lambda`. A coefficient may leave the model again: columns stand in for each
# other.

errors = np.mean((X[test] @ path.coefs + path.intercepts - y[test, None]) ** 2, axis=0)
best = int(np.argmin(errors))
strength = path.l1s / path.l1_max

fig, axes = plt.subplots(1, 2, figsize=(9.0, 3.8), layout="constrained", sharex=True)
axes[0].semilogx(strength, path.coefs.T, linewidth=1)
axes[0].set_ylabel("coefficient")
axes[1].semilogx(strength, np.sqrt(errors), color="C0")
axes[1].set_ylabel("root mean squared error on other patients", color="C0")
count = axes[1].twinx()
count.semilogx(strength, path.n_active, color="C1")
count.set_ylabel("coefficients in the model", color="C1")
for ax in axes:
    ax.axvline(strength[best], color="0.6", linewidth=0.8)
    ax.set_xlabel("l1 / l1_max")
axes[0].invert_xaxis()
plt.show()

print(f"best: l1 = {path.l1s[best]:.1f}, {path.n_active[best]} of {X.shape[1]} coefficients")

# %%
# Every solution has a certificate: its objective is at most ``gap`` above the minimum. Relative to the objective at
# zero all gaps are below the tolerance.

at_zero = 0.5 * np.sum((y[train] - y[train].mean()) ** 2)
print(f"largest gap: {np.nanmax(path.gaps) / at_zero:.1e} of the objective at zero")

# %%
# One point of the path again, to a higher accuracy, starting from it.

res = lasso(X[train], y[train], path.l1s[best], intercept=True, x0=path.coefs[:, best], tol=1e-12)
print(res.message)
