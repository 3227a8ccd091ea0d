r"""
Constrained logistic regression: second derivatives pay
=======================================================

A logistic regression whose coefficients satisfy linear equations and lie on the unit sphere,

.. math::

   \min_x \frac{1}{N} \sum_{i=1}^N \log\bigl(1 + \exp(-y_i\, a_i' x)\bigr)
   \quad \text{subject to} \quad A x = b, \quad \|x\|^2 = 1,

on the breast cancer data that come with scikit-learn. We solve it with :func:`numopt.sketched_newton` and with SciPy's
SLSQP and look at the KKT residual, the 2-norm of :math:`(\nabla f + J'\lambda,\, c)`, at every iterate of both.
"""

# %%
# The problem comes with exact derivatives and knows the form in which each solver takes it.

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize

import numopt
from numopt.problems import ConstrainedLogisticRegression

problem = ConstrainedLogisticRegression.from_dataset("breast_cancer", draw=0)
print(f"{problem.name}: {problem.n} variables, {problem.m} equations")

# %%
# Both solvers report their iterates through a callback. To treat them alike, the residual is computed by us, with
# least-squares multipliers: the best ones for the given point.


def kkt_residual(x):
    grad, jac, cons = problem.grad(x), np.asarray(problem.jac(x)), problem.cons(x) - problem.cu
    lam = np.linalg.lstsq(jac.T, -grad, rcond=None)[0]
    return np.hypot(np.linalg.norm(grad + jac.T @ lam), np.linalg.norm(cons))


def residuals_of(solve):
    iterates = [problem.x0]
    result = solve(lambda xk: iterates.append(np.array(xk)))
    iterates.append(result.x)
    # Solvers differ in whether they report the start and the end: count each point once.
    points = [x for x, before in zip(iterates, [None, *iterates], strict=False) if not np.array_equal(x, before)]
    return result, [kkt_residual(x) for x in points]


newton, newton_residuals = residuals_of(
    lambda callback: numopt.sketched_newton(**problem.to_numopt(), callback=callback)
)
slsqp, slsqp_residuals = residuals_of(
    lambda callback: minimize(**problem.to_scipy("SLSQP"), callback=callback, options={"ftol": 1e-14, "maxiter": 1000})
)
print(newton.message)
print(f"objective: {newton.fun:.12f} (numopt), {slsqp.fun:.12f} (SLSQP)")

# %%
# SLSQP learns the curvature of the Lagrangian from gradients; the Newton steps know it, and near the solution each
# multiplies the number of correct digits.

fig, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
axes.semilogy(newton_residuals, "o-", label="numopt.sketched_newton")
axes.semilogy(slsqp_residuals, "s--", label="SLSQP (ftol 1e-14)")
axes.axhline(1e-8, color="0.6", linewidth=0.8)
axes.set_xlabel("iteration")
axes.set_ylabel("KKT residual")
axes.legend()
plt.show()

# %%
# The answer carries its certificate. It is recomputed from the returned point and multipliers:

print(f"kkt = {newton.kkt:.1e} = hypot({newton.optimality:.1e}, {newton.constr_violation:.1e})")
print(f"linear solver: {newton.linear_solver}, evaluations of f: {newton.nfev}, Hessians: {newton.nhev}")
