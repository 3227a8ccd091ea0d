r"""
Linear systems: sweeps, conjugate gradients, and the relaxation factor
======================================================================

A Poisson equation on a square, solved by successive over-relaxation (SOR), by conjugate gradients, and by conjugate
gradients preconditioned with symmetric over-relaxation (SSOR). We look at the residuals against iterations and
seconds, and at what the relaxation factor :math:`\omega` does to the number of iterations.
"""

# %%
# The five-point Laplacian on 100 x 100 points, with a random right-hand side. SOR gets the best factor that there is,
# from Young's theory.

import time

import matplotlib.pyplot as plt
import numpy as np

from numopt.linear import cg, optimal_omega, sor, young_rate
from numopt.problems import LinearSystem

system = LinearSystem.poisson(100)
A, b = system.A, system.b

start = time.perf_counter()
best = optimal_omega(A)
print(f"{system.n} unknowns, best omega of SOR {best:.4f}, found in {time.perf_counter() - start:.2f} s")

solvers = {
    "SOR, omega 1.9": lambda **options: sor(A, b, omega=1.9, **options),
    f"SOR, omega {best:.3f}": lambda **options: sor(A, b, omega=best, **options),
    "CG": lambda **options: cg(A, b, rtol=1e-8, **options),
    "SSOR-CG, omega 1.9": lambda **options: cg(A, b, rtol=1e-8, ssor_omega=1.9, **options),
}

# %%
# The first solve of each compiles its kernels or loads them, so the second is the one that counts: the shorter of two.
# With ``history=True`` the residuals are recorded. Recording looks at every iteration, so we take the times without it.

seconds, results = {}, {}
for name, solve in solvers.items():
    results[name] = solve(history=True)
    seconds[name] = min(solve().time for _ in range(2))
    print(f"{name}: {results[name].nit} iterations, {seconds[name] * 1e3:.0f} ms")

# %%
# On the right the iterations are laid out evenly over the time of the whole solve. SOR with its best factor may keep
# up with plain conjugate gradients at this size, but that factor had to be found, which took about as many products,
# and a factor a little smaller takes twice as long. Symmetric sweeps inside conjugate gradients are the fastest by
# far: an iteration costs about what one of plain conjugate gradients does.

fig, axes = plt.subplots(1, 2, figsize=(9.0, 3.6), layout="constrained", sharey=True)
for name, res in results.items():
    nit = np.asarray(res.history["nit"])
    residual = np.asarray(res.history["relative_residual"])
    axes[0].semilogy(nit, residual, label=name)
    axes[1].semilogy(nit * (1e3 * seconds[name] / res.nit), residual, label=name)
axes[0].set_xlabel("iteration or sweep")
axes[1].set_xlabel("milliseconds")
axes[0].set_ylabel("relative residual")
axes[0].legend(fontsize=8)
for ax in axes:
    ax.axhline(1e-8, color="0.6", linewidth=0.8)
plt.show()

# %%
# How much the factor matters
# ---------------------------
#
# On a smaller grid we try 60 factors. For SOR that is one call: the same system for each factor is a batch.

small = LinearSystem.poisson(40)
omegas = np.linspace(1.0, 1.98, 60)
sweeps = sor(small.A, np.tile(small.b, (omegas.size, 1)), omega=omegas).nit
iterations = [cg(small.A, small.b, rtol=1e-8, ssor_omega=omega).nit for omega in omegas]
plain = cg(small.A, small.b, rtol=1e-8).nit

# %%
# SOR has a sharp optimum, and its asymptotic rate, the spectral radius by Young's formula, predicts the sweeps well:
# they are about :math:`\log 10^{-8} / \log \rho`. The optimum of SSOR inside conjugate gradients is flat. The two are
# at different places: a factor found for one method is not that of the other.

beta = np.cos(np.pi / 41)
predicted = np.log(1e-8) / np.log(young_rate(omegas, beta))

fig, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
ax.semilogy(omegas, sweeps, label="SOR, sweeps")
ax.semilogy(omegas, predicted, ":", color="0.4", label="from the spectral radius")
ax.semilogy(omegas, iterations, label="SSOR-CG, iterations")
ax.axhline(plain, color="0.6", linewidth=0.8, linestyle="--", label="CG, iterations")
ax.set_xlabel("omega")
ax.legend(fontsize=8)
plt.show()

print(f"best for SOR {omegas[np.argmin(sweeps)]:.2f}, for SSOR-CG {omegas[np.argmin(iterations)]:.2f}")
