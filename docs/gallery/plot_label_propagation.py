r"""
Label propagation: forests instead of colours
=============================================

:func:`numopt.coordinate.label_propagation` continues a few labels to all nodes of a graph: every unknown label becomes
the weighted mean of its neighbours'. We classify two half moons from a handful of labels, and then look at how fast
block coordinate descent spreads labels over a lattice when its blocks are colours of the graph, or forests in it.
"""

# %%
# Two half moons
# --------------
#
# 1000 points, joined to their five nearest neighbours. Ten of them have a label, 1 or 2. How well that goes hangs on
# which ones: two neighbouring branches are told apart where each has a label near the other.

import matplotlib.pyplot as plt
import numpy as np

from numopt.coordinate import label_propagation
from numopt.problems import lattice_labels_data, two_moons_data

moons = two_moons_data(1000, 10)
res = label_propagation(moons.W, moons.labels)
print(res.message)

fig, axes = plt.subplots(1, 2, figsize=(9.0, 3.2), layout="constrained", sharex=True, sharey=True)
for ax, values, title in ((axes[0], moons.labels, "given"), (axes[1], res.x, "propagated")):
    known = ~np.isnan(values)
    ax.plot(*moons.points[~known].T, ".", color="0.8", markersize=3)
    picture = ax.scatter(*moons.points[known].T, c=values[known], s=9, cmap="coolwarm", vmin=1, vmax=2)
    ax.set_title(title, fontsize=10)
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
fig.colorbar(picture, ax=axes, label="label")
plt.show()

truth = np.where(np.arange(1000) < 500, 1, 2)
print(f"{np.mean((res.x > 1.5) == (truth > 1.5)):.1%} on the side that they were drawn from")

# %%
# A lattice
# ---------
#
# 50 x 50 nodes, 100 of which have a label. The default solver is preconditioned conjugate gradients. Block coordinate
# descent is asked for by naming a partition:
#
# * ``'redblack'``: the two colours of a chess board; each node is set to the mean of its neighbours;
# * ``'tree_partition'``: a few forests, each solved exactly by a pass from the leaves to the roots and one back;
# * two combs, which we write down: the first row with every other column, and the rest. They are forests, too;
# * ``selection='tree'``: a new forest in each iteration, grown from the nodes with the largest gradients.

lattice = lattice_labels_data(50, 100)
direct = label_propagation(lattice.W, lattice.labels, tol=1e-10)
print(direct.message)

rows, columns = np.divmod(direct.unknown, 50)
first = (rows == 0) | ((columns % 2 == 0) & (rows < 49))
combs = [np.flatnonzero(first), np.flatnonzero(~first)]

partitions = {
    "red-black": {"partition": "redblack"},
    "forests": {"partition": "tree_partition"},
    "combs": {"partition": combs, "selection": "cyclic", "update": "message_passing"},
    "greedy forests": {"partition": "variable", "selection": "tree"},
    "combs, omega 1.6": {
        "partition": combs,
        "selection": "cyclic",
        "update": "message_passing",
        "options": {"omega": 1.6},
    },
}
runs = {
    name: label_propagation(lattice.W, lattice.labels, tol=1e-12, maxiter=200, history=True, **choice)
    for name, choice in partitions.items()
}

# %%
# A comb carries a label along a whole column in one update; a colour carries it to the next node. Both kinds of update
# take a time linear in their size. Relaxation helps as it does in successive over-relaxation. Conjugate gradients
# remain the method of choice for such a system; sweeps over forests serve as a preconditioner as well
# (:func:`numopt.coordinate.sweep_preconditioner`).

fig, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for name, run in runs.items():
    excess = (np.asarray(run.history["fun"]) - lattice.f_opt) / abs(lattice.f_opt)
    ax.semilogy(run.history["nit"], np.maximum(excess, 1e-16), label=name)
ax.set_xlabel("block update")
ax.set_ylabel("(f - f*) / |f*|")
ax.legend(fontsize=8)
plt.show()

# %%
# The labels after six updates of each kind, next to the solution. Red-black has reached three nodes around each label.

early = {
    name: label_propagation(lattice.W, lattice.labels, tol=1e-12, maxiter=6, **partitions[name]).x
    for name in ("red-black", "combs")
}
pictures = {"given": lattice.labels, "red-black, 6 updates": early["red-black"], "combs, 6 updates": early["combs"]}
pictures["solution"] = direct.x

fig, axes = plt.subplots(1, 4, figsize=(9.0, 2.6), layout="constrained")
for ax, (title, values) in zip(axes, pictures.items(), strict=True):
    picture = ax.imshow(values.reshape(50, 50), cmap="coolwarm", vmin=-15, vmax=15)
    ax.set_title(title, fontsize=9)
    ax.axis("off")
fig.colorbar(picture, ax=axes, shrink=0.8)
plt.show()
