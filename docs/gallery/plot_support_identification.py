r"""
Who finds the support, and when
===============================

The solution of a Lasso has few coefficients that are not zero. A method that has found out which ones solves a small
smooth problem from then on. We watch block coordinate descent on the way there, with blocks chosen greedily or at
random, and with second-order or gradient steps on them.
"""

# %%
# Least squares with an l1 norm and 300 unknowns. The default method gives the reference.

import matplotlib.pyplot as plt
import numpy as np

from numopt.coordinate import LeastSquares, bcd

rng = np.random.default_rng(0)
A = rng.standard_normal((150, 300)) + 0.5 * rng.standard_normal((150, 1))  # columns are correlated
truth = np.zeros(300)
truth[rng.choice(300, 20, replace=False)] = 3 * rng.standard_normal(20)
b = A @ truth + rng.standard_normal(150)

problem = LeastSquares(A, b, l1=0.03 * np.abs(A.T @ b).max())
reference = bcd(problem, tol=1e-14)
support = reference.x != 0
print(f"{support.sum()} coefficients at the solution; {reference.message}")

# %%
# Blocks are put together anew in every iteration (``partition='variable'``): from the coordinates that promise the
# largest decrease (``'gs-q'``), or at random. The callback sees every iterate. The last choice has blocks that are
# larger than the support.

choices = {
    "greedy, 5, gradient": {"selection": "gs-q", "update": "gradient", "block_size": 5},
    "greedy, 5, prox-Newton": {"selection": "gs-q", "update": "prox_newton", "block_size": 5},
    "random, 5, prox-Newton": {"selection": "random", "update": "prox_newton", "block_size": 5},
    "greedy, 60, prox-Newton": {"selection": "gs-q", "update": "prox_newton", "block_size": 60},
}


def recorder(values, rows):
    def callback(intermediate_result):
        values.append(intermediate_result.fun)
        rows.append(intermediate_result.x != 0)

    return callback


suboptimality, patterns = {}, {}
for name, choice in choices.items():
    values, rows = [], []
    res = bcd(problem, partition="variable", tol=1e-12, maxiter=500, rng=0, callback=recorder(values, rows), **choice)
    suboptimality[name] = np.maximum((np.array(values) - reference.fun) / values[0], 1e-16)
    patterns[name] = np.array(rows)
    wrong = (patterns[name] != support).sum(axis=1)
    last = np.flatnonzero(wrong)[-1] + 1
    when = f"settled at iteration {last}" if last < wrong.size else f"wrong in {wrong[-1]} places at the end"
    print(f"{name}: {res.nit} iterations, support {when}")

# %%
# On the left the error of the objective, on the right how many coefficients are zero at the iterate and not at the
# solution, or the reverse. Greedy blocks go to the support. With blocks of five the convergence is linear from then on;
# a second-order step on a block that has room for the whole support makes a steep end. Random blocks pick up many
# coordinates that do not belong to the solution and are long in dropping them, since each has to come up again.

fig, axes = plt.subplots(1, 2, figsize=(9.0, 3.8), layout="constrained")
for name in choices:
    axes[0].semilogy(suboptimality[name], label=name)
    axes[1].plot((patterns[name] != support).sum(axis=1), label=name)
axes[0].set_ylabel("(F - F*) / F(0)")
axes[1].set_ylabel("coordinates on the wrong side")
axes[0].legend(fontsize=8)
for ax in axes:
    ax.set_xlabel("block update")
plt.show()

# %%
# The iterates themselves: black where the coefficient is not zero, one line for each iteration from top to bottom. The
# support of the solution comes first, up to the line.

columns = np.argsort(~support, kind="stable")
fig, axes = plt.subplots(1, 2, figsize=(9.0, 3.8), layout="constrained", sharey=True)
for ax, name in zip(axes, ("greedy, 5, prox-Newton", "random, 5, prox-Newton"), strict=True):
    ax.imshow(~patterns[name][:300, columns], aspect="auto", cmap="gray", interpolation="nearest", vmin=0, vmax=1)
    ax.axvline(support.sum() - 0.5, color="C1", linewidth=1.5)
    ax.set_title(name, fontsize=10)
    ax.set_xlabel("coordinate")
axes[0].set_ylim(300, 0)
axes[0].set_ylabel("block update")
plt.show()
