r"""
A parameter learned over a sequence of systems
==============================================

The systems :math:`(A + c_t I)\, x = b_t` with the five-point Laplacian :math:`A`, random shifts :math:`c_t` and random
right-hand sides are solved by SOR. The best relaxation factor depends on the shift. We compare fixed factors with two
tuners that see nothing but the number of sweeps of each solve: Tsallis-INF, which looks for one good factor, and
ChebCB, which is told the shift before each solve and learns the best factor as a function of it. The experiment is
that of Khodak, Chow, Balcan and Talwalkar (ICLR 2024), shortened.
"""

# %%
# 2000 systems of 100 unknowns. All arms of the tuners are on one grid of 20 factors.

import matplotlib.pyplot as plt
import numpy as np

from numopt.linear import optimal_omega, sor
from numopt.problems import LinearSystem, SystemSequence
from numopt.tuning import BanditTuner, solve_sequence

systems = SystemSequence.shifted_laplacian("high", n_steps=2000)
grid = np.linspace(1.0, 1.95, 20)

matrices, rhs, shifts = zip(*systems, strict=True)
rhs, shifts = np.array(rhs), np.array(shifts)

# %%
# What fixed factors cost, and the best factor for each shift by Young's formula, are found by solving all systems in
# one batch. A tuner cannot do this, since it meets the systems one by one.

fixed = (1.4, 1.6, 1.8, 1.9)
costs = {f"omega = {omega}": sor(matrices, rhs, omega=omega).nit for omega in fixed}

base = LinearSystem.poisson(10).A
young = optimal_omega(base, context=shifts)
costs["best for each (Young)"] = sor(matrices, rhs, omega=young).nit

# %%
# The tuners. ``x0="zero"``: the systems are independent of each other, so that there is nothing to be had from the
# solution before.

tuners = {
    "Tsallis-INF": BanditTuner(grid, rng=0),
    "ChebCB": BanditTuner(grid, method="chebcb", context_bounds=systems.context_bounds, rng=0),
}
runs = {name: solve_sequence(systems, tuner, "sor", x0="zero") for name, tuner in tuners.items()}
costs |= {name: run.costs for name, run in runs.items()}

for name, cost in costs.items():
    print(f"{name:>22}: {cost.mean():6.1f} sweeps a system, {cost[-500:].mean():6.1f} over the last 500")

# %%
# Tsallis-INF pays for its exploration and then approaches the best fixed factor. ChebCB learns from every solve about
# all shifts, and gets below the best fixed factor, towards the best factor for each system.

fig, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
for name, cost in costs.items():
    style = {"Tsallis-INF": "C1-", "ChebCB": "C2-", "best for each (Young)": "k:"}.get(name)
    if style is None:
        ax.plot(np.cumsum(cost), color="0.6", linewidth=0.9)
        ax.annotate(name, (len(cost), cost.sum()), fontsize=8, color="0.4", va="center")
    else:
        ax.plot(np.cumsum(cost), style, label=name)
ax.set_xlim(0, 1.18 * len(systems))
ax.set_ylim(0)
ax.set_xlabel("systems")
ax.set_ylabel("sweeps, cumulative")
ax.legend(fontsize=8)
plt.show()

# %%
# The factors chosen over time
# ----------------------------
#
# The colour is the shift. Tsallis-INF settles on a few factors for all shifts; ChebCB parts them by shift: systems
# with a small shift, which are nearly singular, get larger factors.

fig, axes = plt.subplots(1, 2, figsize=(9.0, 3.4), layout="constrained", sharey=True)
for ax, (name, run) in zip(axes, runs.items(), strict=True):
    points = ax.scatter(np.arange(len(systems)), run.chosen, c=shifts, s=5, cmap="viridis")
    ax.set_title(name, fontsize=10)
    ax.set_xlabel("systems")
axes[0].set_ylabel("omega")
fig.colorbar(points, ax=axes, label="shift c")
plt.show()

# %%
# What ChebCB holds to be best, next to Young's formula. Where shifts are rare it knows less.

contexts = np.linspace(-0.15, 0.4, 60)
fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
ax.plot(contexts, [tuners["ChebCB"].best(c) for c in contexts], "C2", drawstyle="steps-mid", label="ChebCB")
ax.plot(contexts, optimal_omega(base, context=contexts), "k:", label="Young")
ax.plot(shifts, np.full(shifts.size, 1.0), "|", color="0.6", markersize=6, label="shifts met")
ax.set_xlabel("shift c")
ax.set_ylabel("best omega")
ax.legend(fontsize=8)
plt.show()
