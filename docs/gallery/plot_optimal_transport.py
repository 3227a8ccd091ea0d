r"""
Optimal transport: how sharp a plan, and a colour transfer
==========================================================

:func:`numopt.ot.solve` moves one set of weights to another at the least cost plus an entropy of weight ``reg``. The
smaller ``reg``, the sharper the plan and the harder the problem for Sinkhorn's sweeps; Newton steps on the few entries
that matter keep it cheap. We look at plans between two clouds of points, and then paint one photograph in the colours
of another.
"""

# %%
# Plans at three regularisations
# ------------------------------
#
# Two clouds of 40 points, all of the same weight. ``reg`` has the unit of the costs, so we choose it relative to the
# largest.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from sklearn.datasets import load_sample_image

import numopt

rng = np.random.default_rng(0)
angles = np.sort(rng.uniform(0, np.pi, 40))
X = np.column_stack([np.cos(angles), np.sin(angles)]) + 0.06 * rng.normal(size=(40, 2))
Y = np.column_stack([1 - np.cos(angles), 0.5 - np.sin(angles)]) + 0.06 * rng.normal(size=(40, 2))
C = ((X[:, None] - Y) ** 2).sum(axis=2)

results = {part: numopt.ot.solve(None, None, C, part * C.max()) for part in (1e-1, 1e-2, 1e-4)}

# %%
# Each line carries mass from a point to another; its strength is the entry of the plan.

fig, axes = plt.subplots(1, 3, figsize=(9.0, 2.6), layout="constrained", sharex=True, sharey=True)
for ax, (part, res) in zip(axes, results.items(), strict=True):
    strength = res.plan / res.plan.max()  # 1 for the heaviest pair
    i, j = np.nonzero(strength > 0.02)
    ax.add_collection(
        LineCollection(np.stack([X[i], Y[j]], axis=1), colors="0.3", alpha=strength[i, j], linewidths=0.6)
    )
    ax.plot(*X.T, "o", markersize=5, label="sources")
    ax.plot(*Y.T, "s", markersize=5, label="targets")
    ax.set_title(f"reg = {part:g} max C", fontsize=10)
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
axes[0].legend(loc="lower left", fontsize=8, framealpha=1.0)
plt.show()

# %%
# Every answer comes with bounds on the cost of transport without the entropy. The smaller ``reg``, the tighter they
# are.

for part, res in results.items():
    print(
        f"reg {part:.0e} max C: cost {res.value:.6f}, unregularised between {res.lower_bound:.6f} and "
        f"{res.upper_bound:.6f}; {res.nit_sinkhorn} sweeps, {res.nit_newton} Newton steps"
    )

# %%
# The colours of another photograph
# ---------------------------------
#
# Pixels are points in the cube of red, green and blue. We transport 700 colours of one picture to 700 of another, by
# :func:`numopt.ot.solve_points`, which works the costs out on the fly.

china, flower = (load_sample_image(name)[::3, ::3] / 255.0 for name in ("china.jpg", "flower.jpg"))


def sample(picture, n=700):
    pixels = picture.reshape(-1, 3)
    return pixels[rng.choice(len(pixels), n, replace=False)]


colours, palette = sample(china), sample(flower)
reg = 5e-3
res = numopt.ot.solve_points(colours, palette, reg)
print(res.message)

# %%
# The potential :math:`g` extends the plan to colours that were not in the sample: a colour :math:`x` sends its mass to
# :math:`y_j` in proportion to :math:`\exp((g_j - |x - y_j|^2) / \varepsilon)`, and we paint the mean of these. The term
# :math:`|x|^2` cancels.


def transfer(x):
    exponents = (res.g - (palette**2).sum(axis=1) + 2 * x @ palette.T) / reg
    weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    return (weights @ palette) / weights.sum(axis=1, keepdims=True)


painted = transfer(china.reshape(-1, 3)).reshape(china.shape)

fig, axes = plt.subplots(1, 3, figsize=(9.0, 2.4), layout="constrained")
for ax, (title, picture) in zip(
    axes, {"picture": china, "colours from": flower, "together": painted}.items(), strict=True
):
    ax.imshow(picture)
    ax.set_title(title, fontsize=10)
    ax.axis("off")
plt.show()
