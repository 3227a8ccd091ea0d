"""The table of kernels: what each is called, takes and does."""

from dataclasses import dataclass

__all__ = ["KERNELS", "Kernel"]


@dataclass(frozen=True, slots=True)
class Kernel:
    """One line of the table of kernels.

    `signature` maps argument names, in order, to types: `real` is the floating dtype of the call, `cost` that of a
    cost matrix (the same or float32), `scalar` that of a linear system (the same or the complex one of its precision),
    `index` that of the CSR triple (int32 or int64), `int32`, `int64` and `float64` themselves, each with the number of
    axes in brackets; `int` and `float` are host numbers. A kernel that takes host integers only is a host function and
    returns one.
    """

    module: str
    signature: dict[str, str]
    contract: str
    host: bool = False


_VECTOR, _MATRIX = "real[1]", "real[2]"
_CSR = {"data": "real[1]", "indices": "index[1]", "indptr": "index[1]"}
# Entropic transport. With e_ij = (f_i + g_j - C_ij) * inv_reg the plan is P_ij = exp(e_ij); C may hold +inf. Slice p of
# `parts` holds the rows n * p // parts to n * (p + 1) // parts - 1 and has its own accumulator, added in order.
_GIBBS = {"C": "cost[2]", "f": _VECTOR, "g": _VECTOR, "inv_reg": "float"}
_POINTS = {"X": _MATRIX, "Y": _MATRIX, "metric": "int", "f": _VECTOR, "g": _VECTOR, "inv_reg": "float"}
_FLOORS = {"row_floor": _VECTOR, "col_floor": _VECTOR}
_FILL = {"indptr": "int64[1]", "indices": "int32[1]", "data": _VECTOR}
_BIPARTITE = {
    "data": _VECTOR,
    "indices": "int32[1]",
    "indptr": "int64[1]",
    "tdata": _VECTOR,
    "tindices": "int32[1]",
    "tindptr": "int64[1]",
    "r": _VECTOR,
    "c": _VECTOR,
}
# Linear systems. Rows are sorted by column and have no duplicates; `split[i]` is the position in `data` of the diagonal
# entry of row i, so that the entries before it belong to rows that a forward sweep visits earlier. Rows `classes[c]` to
# `classes[c + 1] - 1` do not touch one another (a_ij = a_ji = 0), so that they may be taken at once; without classes
# (one entry, or none) rows go one after the other. `order` is 1 for forward sweeps, -1 for backward ones, 0 for a
# forward and a backward one each time.
_X = "scalar[1]"
_ROWS = {"data": _X, "indices": "index[1]", "indptr": "index[1]", "split": "index[1]"}
_LOWER = {"ldata": _X, "lindices": "index[1]", "lindptr": "index[1]"}
_UPPER = {"udata": _X, "uindices": "index[1]", "uindptr": "index[1]"}
_CLASSES = {"classes": "int64[1]"}
# Bandits over d arms, one state for each cell of the contexts. arms[cell, i] holds of arm i the sum of its costs above
# the floor over the probabilities with which it was drawn, the weight of its plays, and the sums of its costs and of
# their squares; totals[cell] the weight of all plays, the sum of the costs, the least and the largest one, the number
# of plays. An arm is drawn with u uniform in [0, 1); limits (at most 1) cap the probabilities, and the other arms share
# what that frees. p (d) and scores (d) are scratch; out (4): the arm, its probability, the baseline of its cost, and
# for contexts in place of the baseline the predicted cost of the arm, and of the best one, above the floor.
_CELL = {"arms": "float64[3]", "totals": "float64[2]", "cell": "int"}
_DRAW = {"limits": "float64[1]", "u": "float", "p": "float64[1]"}
_SCORES, _OUT = {"scores": "float64[1]"}, {"out": "float64[1]"}
_UNIT = {"floor": "float", "scale": "float", "horizon": "float"}
_LINEAR = {"gram": "float64[3]", "moments": "float64[2]", "theta": "float64[2]"}
# Coordinate descent for q(x) = f(x) + sum_j l1_j |x_j| + l2_j x_j^2 / 2 over lower <= x <= upper, f quadratic; penalty
# (4, k) holds l1, l2, lower, upper (infinite where there is none). curvature[j] is the second derivative of f along
# coordinate j, which l2_j is added to; a coordinate whose sum of both is 0 stays. violations[e] is the largest
# curvature-weighted change of a coordinate in epoch e, (curvature_j + l2_j) |change of x_j|.
# Of f = s' A x + (A x)' diag(weights) (A x) / 2 the vector s (n), its gradient in the products A x, is kept up to date:
# s += weights * a_j * step (no weights, length 0: ones). With means (k; length 0: none) the columns are centred,
# a_j - means[j], which eliminates an intercept: the loop keeps offset[0] such that s + offset[0] * weights is the true
# vector and the gradient a_j' s + offset[0] * sums[j], sums[j] = a_j' weights; a step subtracts means[j] * step from
# offset[0].
_CSC = {"data": "real[1]", "indices": "index[1]", "indptr": "index[1]"}
_DESCENT = {"weights": _VECTOR, "means": _VECTOR, "sums": _VECTOR, "curvature": _VECTOR, "penalty": _MATRIX}
_DESCENT |= {"x": _VECTOR, "s": _VECTOR, "offset": "float64[1]", "violations": "float64[1]"}
# Forests: rows in an order with parents[k] < k, the row itself for a root. On a GPU, whose threads take a level at
# once, rows levels[l] to levels[l + 1] - 1 have their parents in the level before (roots: in none), levels follow one
# another block by block, and children[0, k] to children[1, k] - 1 are the children of row k; without levels (length 0),
# and in the other homes, rows are taken one after the other.
_TREES = {"parents": "int32[1]", "levels": "int64[1]", "children": "int32[2]"}
_FACTORS = {"links": _VECTOR, "inverse": _VECTOR}
# Graphs are symmetric CSR patterns; entries on the diagonal are passed over.
_PATTERN = {"indices": "index[1]", "indptr": "index[1]"}
_SWEEP = {"b": _X, "omega": "float", "order": "int", "x": _X, "delta": _X, "norms": "float64[1]"}

KERNELS: dict[str, Kernel] = {
    "row_kaczmarz": Kernel(
        "kaczmarz",
        {"A": _MATRIX, "b": _VECTOR, "norms2": _VECTOR, "rows": "int64[1]", "x": _VECTOR},
        "For each i of rows in order with norms2[i] > 0: x += (b[i] - A[i] @ x) / norms2[i] * A[i]; A is (M, N).",
    ),
    "csr_row_kaczmarz": Kernel(
        "kaczmarz",
        _CSR | {"b": _VECTOR, "norms2": _VECTOR, "rows": "int64[1]", "x": _VECTOR},
        "row_kaczmarz for a CSR matrix without duplicate entries; the entries of a row may come in any order.",
    ),
    "gram_parts": Kernel(
        "gram",
        {"n_rows": "int", "n": "int"},
        "Return the number of private accumulators that weighted_gram_csr runs best with; a host function.",
    ),
    "weighted_gram_csr": Kernel(
        "gram",
        _CSR | {"weights": _VECTOR, "work": "real[3]", "out": _MATRIX},
        "out (n, n) = X' diag(weights) X for a CSR matrix without duplicate entries; work (parts, n, n) is scratch: "
        "one accumulator for each slice of the rows, added in order; rows of weight 0 are left out whatever they hold.",
    ),
    "logistic_terms": Kernel(
        "logistic",
        {"margins": _VECTOR, "labels": _VECTOR, "loss": _VECTOR, "residual": _VECTOR, "weight": _VECTOR},
        "With t = labels * margins: loss = log(1 + exp(-t)), residual = -labels * sigmoid(-t), "
        "weight = labels**2 * sigmoid(t) * sigmoid(-t).",
    ),
    "gibbs_parts": Kernel(
        "gibbs",
        {"n": "int", "m": "int"},
        "Return the number of row slices that the gibbs kernels run best with on an (n, m) cost; a host function.",
    ),
    "gibbs_sums": Kernel(
        "gibbs",
        _GIBBS | {"r": _VECTOR, "work": _MATRIX, "c": _VECTOR},
        "r = P 1 and c = P' 1 for P_ij = exp((f_i + g_j - C_ij) * inv_reg), which is not stored; C (n, m) may hold "
        "+inf, exponents up to 700 (float64) or 85; below -700 or -85 P_ij may be 0; work (parts, m) is scratch.",
    ),
    "gibbs_plan": Kernel(
        "gibbs",
        _GIBBS | {"P": _MATRIX, "r": _VECTOR, "work": _MATRIX, "c": _VECTOR},
        "gibbs_sums that also writes P (n, m).",
    ),
    "gibbs_lse_rows": Kernel(
        "gibbs",
        {"C": "cost[2]", "g": _VECTOR, "inv_reg": "float", "out": _VECTOR},
        "out[i] = log sum_j exp((g_j - C_ij) * inv_reg) with the maximum taken out; -inf for a row of +inf.",
    ),
    "gibbs_lse_cols": Kernel(
        "gibbs",
        {"C": "cost[2]", "f": _VECTOR, "inv_reg": "float", "work": "real[3]", "out": _VECTOR},
        "out[j] = log sum_i exp((f_i - C_ij) * inv_reg), likewise; work (2, parts, m): maximum and sum of each slice.",
    ),
    "scaling_sweep": Kernel(
        "gibbs",
        {"K": _MATRIX} | dict.fromkeys("abuvr", _VECTOR) | {"work": _MATRIX, "c": _VECTOR},
        "With s = K v: r = u * s, then u = a / s (kept where s is 0), c = K' u, v = b / c (kept where c is 0), in one "
        "read of K (n, m); work (parts, m) is scratch.",
    ),
    "gibbs_count": Kernel(
        "gibbs",
        _GIBBS | _FLOORS | {"row_count": "int64[1]", "work": "int64[2]"},
        "Keep entry (i, j) if (f_i + g_j - C_ij) * inv_reg >= min(row_floor_i, col_floor_j): row_count[i] counts those "
        "of row i, work[p, j] (parts, m) those of column j in the rows of slice p.",
    ),
    "gibbs_fill": Kernel(
        "gibbs",
        _GIBBS | _FLOORS | _FILL,
        "Fill the CSR indices and data of the entries of P that gibbs_count keeps, columns ascending; indptr is given.",
    ),
    "gibbs_fill_columns": Kernel(
        "gibbs",
        _GIBBS | _FLOORS | {"starts": "int64[2]", "indices": "int32[1]", "data": _VECTOR},
        "The same as CSC, rows ascending; starts (parts, m) says where the entries of each slice of a column begin "
        "and is overwritten.",
    ),
    "schur_product": Kernel(
        "bipartite",
        _BIPARTITE | {"x": _VECTOR, "z": _VECTOR, "y": _VECTOR},
        "z = (P' x) / c (0 where c is 0) and y = r * x - P z for P (n, m) given as CSR and as CSC (t...).",
    ),
    "schur_pcg": Kernel(
        "bipartite",
        _BIPARTITE
        | {"rhs": _VECTOR, "diagonal": _VECTOR, "rtol": "float", "maxiter": "int", "x": _VECTOR}
        | {"work": _MATRIX, "columns": _VECTOR, "info": "float64[1]"},
        "Conjugate gradients from x = 0 for S x = rhs, S the operator of schur_product, preconditioned by division by "
        "diagonal, until the residual of the recurrence is <= rtol ||rhs||; work (3, n) and columns (m) are scratch; "
        "info: iterations, relative residual, 1 if p' S p <= 0 ended it (x = rhs / diagonal if that is at once).",
    ),
    "point_row_sums": Kernel(
        "point_gibbs",
        _POINTS | {"r": _VECTOR},
        "r = P 1 for the costs of points X (n, d), Y (m, d), computed on the fly: metric 0 squared Euclidean, "
        "1 Euclidean, 2 city block. Costs and exponents keep their bits when the two sides change roles.",
    ),
    "point_lse_rows": Kernel(
        "point_gibbs",
        {"X": _MATRIX, "Y": _MATRIX, "metric": "int", "g": _VECTOR, "inv_reg": "float", "out": _VECTOR},
        "gibbs_lse_rows for such costs.",
    ),
    "point_count": Kernel(
        "point_gibbs",
        _POINTS | _FLOORS | {"row_count": "int64[1]"},
        "row_count of gibbs_count for such costs.",
    ),
    "point_fill": Kernel(
        "point_gibbs",
        _POINTS | _FLOORS | _FILL,
        "gibbs_fill for such costs.",
    ),
    "point_apply": Kernel(
        "point_gibbs",
        _POINTS | {"V": _MATRIX, "out": _MATRIX},
        "out (n, k) = P V for such costs; V is (m, k).",
    ),
    "point_value": Kernel(
        "point_gibbs",
        _POINTS | {"out": _VECTOR},
        "out[i] = sum_j C_ij P_ij for such costs.",
    ),
    "side_terms": Kernel(
        "dual",
        {"weights": _VECTOR, "potential": _VECTOR, "sums": _VECTOR, "gap": _VECTOR, "out": "float64[1]"},
        "gap = weights - sums; out (5), in double precision: sum of weights * potential, sum of |gap|, max |gap|, sum "
        "of sums, max |potential|. Maxima leave NaN out; the sums do not.",
    ),
    "step_terms": Kernel(
        "dual",
        {"direction": _VECTOR, "gap": _VECTOR, "sums": _VECTOR, "out": "float64[1]"},
        "out (3), in double precision: max |direction|, NaN left out; sum of gap * direction; sum of sums * "
        "direction**2.",
    ),
    "kept_offsets": Kernel(
        "dual",
        {"row_count": "int64[1]", "work": "int64[2]", "indptr": "int64[1]", "tindptr": "int64[1]"},
        "From the counts of gibbs_count the offsets of CSR, indptr (n + 1), and of CSC, tindptr (m + 1); work "
        "(parts, m) becomes the starts that gibbs_fill_columns takes.",
    ),
    "bipartite_components": Kernel(
        "components",
        {"indices": "int32[1]", "indptr": "int64[1]", "tindices": "int32[1]", "tindptr": "int64[1]"}
        | {"row_labels": "int32[1]", "col_labels": "int32[1]"},
        "Label the connected components of the graph of rows and columns given as CSR and as CSC (t...): the smallest "
        "row of the component; n + j for a column j without entries.",
    ),
    "sor_sweeps": Kernel(
        "sor",
        _ROWS | {"inverse": _X} | _CLASSES | _SWEEP,
        "len(norms) sweeps x_i += omega * inverse_i * (b_i - A_i x), inverse_i = 1 / a_ii; norms[k] is the squared "
        "2-norm of b - A x before sweep k, found inside it (for order 0: inside its forward half); delta (n) is "
        "scratch: the changes of the last half sweep.",
    ),
    "split_values": Kernel(
        "sor",
        _ROWS | {"scale": "real[1]", "lindptr": "index[1]", "uindptr": "index[1]", "ldata": _X, "udata": _X},
        "The values of the strict triangles of S A S, S = diag(scale), in the order of A: ldata[lindptr[i]:] holds the "
        "entries of row i before split[i], udata[uindptr[i]:] those after it.",
    ),
    "ssor_sweeps": Kernel(
        "ssor",
        _LOWER
        | _UPPER
        | {"inverse": _X}
        | _CLASSES
        | {"b": _X, "omega": "float", "x": _X, "upper": _X, "delta": _X}
        | {"norms": "float64[1]"},
        "len(norms) symmetric sweeps (forward, then backward) of A = L + D + U, inverse = 1 / D, that read each "
        "triangle once: upper = U x, given and kept, and L x, kept in scratch `delta` (2 n), are used again by the "
        "other half sweep; norms as for sor_sweeps.",
    ),
    "ssor_solve": Kernel(
        "ssor",
        _LOWER | _UPPER | {"scale": "real[1]"} | _CLASSES | {"omega": "float", "r": _X, "z": _X},
        "z = (2 - omega) / omega * S (I / omega + U)^-1 (I / omega + L)^-1 S r, S = diag(scale), for the strict "
        "triangles of a matrix with unit diagonal; z may be r.",
    ),
    "eisenstat_pcg": Kernel(
        "eisenstat",
        _LOWER
        | _UPPER
        | {"root": "real[1]"}
        | _CLASSES
        | {"omega": "float", "check": "int", "target": "float", "maxiter": "int", "x": _X, "r": _X, "p": _X}
        | {"work": "scalar[2]", "info": "float64[1]"},
        "Conjugate gradients for a Hermitian matrix A = I + L + U, U = L^H, preconditioned by K K^H, K = I / omega + L "
        "(Eisenstat's form): with t = K^-H p the product is t + K^-1 (p - (2 / omega - 1) t). info (8): state and "
        "outcome. info[0] = 0 starts: r is b - A x and becomes K^-1 r; 1 goes on from x, r, p and info. On return: "
        "info[0] = 1, info[1] = r^H r, info[2] = p's factor for the next step, info[3] = ||diag(root) (b - A x)|| as "
        "last computed, info[4] = iterations of this call, info[5] = 0 if maxiter ended it, 1 if info[3] <= target, "
        "2 if p^H A p <= 0, 3 for NaN or infinities. info[3] is computed at the start and in every check-th iteration; "
        "check = 0: when the ratio to ||r|| at the last time makes it likely to be below 2 * target, and every 16th "
        "time. info[6] = iterations since then, info[7] = that ratio; work (2, n) is scratch.",
    ),
    "block_sor_sweeps": Kernel(
        "block_sor",
        _ROWS | {"blocks": "int64[1]", "inverses": "scalar[3]"} | _CLASSES | _SWEEP,
        "Sweeps over blocks of rows: block k is rows blocks[k] to blocks[k + 1] - 1, of at most m rows, inverses[k] "
        "(k, m, m) holds in its upper left corner the inverse of its diagonal block, and x_k += omega * inverse (b - A "
        "x)_k. Here split[i] is the position of the first entry of row i in its block, and classes count blocks.",
    ),
    "line_sor_sweeps": Kernel(
        "block_sor",
        _ROWS | {"blocks": "int64[1]", "factors": "scalar[2]"} | _CLASSES | _SWEEP,
        "block_sor_sweeps for tridiagonal diagonal blocks; factors (3, n): row by row the multiplier of the row above "
        "(0 in the first of a block), the reciprocal pivot, and the entry right of the diagonal (0 in the last).",
    ),
    "stencil_sweeps": Kernel(
        "stencil",
        {"coefficients": _X, "nz": "int", "ny": "int", "nx": "int", "colours": "int"} | _SWEEP,
        "sor_sweeps for the matrix of a 7-point stencil on a grid (nz, ny, nx), x fastest, zero outside: coefficients "
        "are those of the point itself and of its neighbours at x - 1, x + 1, y - 1, y + 1, z - 1, z + 1. colours 1: "
        "in the order of the points; 2: points with an even sum of coordinates first, then the others.",
    ),
    "stencil_product": Kernel(
        "stencil",
        {"coefficients": _X, "nz": "int", "ny": "int", "nx": "int", "x": _X, "y": _X},
        "y = A x for such a matrix.",
    ),
    "sor_batch": Kernel(
        "sor_batch",
        {"data": "scalar[2]", "indices": "index[1]", "indptr": "index[1]", "split": "index[1]"}
        | _CLASSES
        | {"which": "int64[1]", "b": "scalar[2]", "omega": "float64[1]", "order": "int", "target": "float64[1]"}
        | {"maxiter": "int", "x": "scalar[2]", "work": "scalar[1]", "nit": "int64[1]", "norms": "float64[1]"},
        "Sweeps as in sor_sweeps (order 1 or -1) for many systems of one pattern, each until it is solved: system s "
        "has the values data[which[s]], right-hand side b[s] and omega[s]. With r_k the residual before sweep k, ends "
        "after the sweep with ||r_k|| <= target[s], k = maxiter, NaN or ||r_k|| > 1e10 ||r_0||; nit[s] = k, norms[s] = "
        "||r_k||. work is scratch, of the size that sor_batch_work tells.",
    ),
    "sor_batch_work": Kernel(
        "sor_batch",
        {"n_systems": "int", "n": "int", "nnz": "int"},
        "Return the size of the scratch that sor_batch needs for systems of n rows and nnz entries; a host function.",
    ),
    "greedy_colours": Kernel(
        "ordering",
        {"indices": "index[1]", "indptr": "index[1]", "colours": "int32[1]", "used": "int32[1]"},
        "Give each node of a graph with symmetric CSR pattern, in order, the smallest colour that no neighbour has; "
        "entries on the diagonal are passed over; used (n + 1) is scratch.",
        host=True,
    ),
    "row_levels": Kernel(
        "ordering",
        {"indices": "index[1]", "indptr": "index[1]", "levels": "int32[1]"},
        "levels[i] = 1 + the largest level among the neighbours j < i in a symmetric CSR pattern, 0 without any.",
        host=True,
    ),
    "tsallis_draw": Kernel(
        "bandit",
        _CELL | _UNIT | {"reduced": "int"} | _DRAW | _OUT,
        "Tsallis-INF: p_i = 4 / (eta (k_i / sigma - x))^2 with sum 1, k_i = arms[cell, i, 0], eta = 2 / sqrt(t), t the "
        "larger of horizon and 1 + the plays; sigma is `scale` or, if that is 0, the mean cost above the floor. With "
        "`reduced` adds the baseline sigma to each k_i with p_i >= eta^2.",
        host=True,
    ),
    "exponential_draw": Kernel(
        "bandit",
        _CELL | _UNIT | {"rate": "float"} | _DRAW | _OUT,
        "Exponential weights: p_i proportional to exp(-rate / sqrt(t) * k_i / sigma), in the terms of tsallis_draw.",
        host=True,
    ),
    "confidence_draw": Kernel(
        "bandit",
        _CELL | _DRAW | _SCORES | _OUT,
        "UCB1: the arm of the least mean cost less sqrt(2 log(1 + plays) / its plays) times the range of the costs.",
        host=True,
    ),
    "greedy_draw": Kernel(
        "bandit",
        _CELL | {"epsilon": "float"} | _DRAW | _SCORES | _OUT,
        "The arm of the least mean cost, with probability epsilon an arm drawn uniformly.",
        host=True,
    ),
    "thompson_draw": Kernel(
        "bandit",
        _CELL | {"normals": "float64[1]"} | _DRAW | _SCORES | _OUT,
        "The arm of the least mean cost plus normals_i standard errors; the variance of all costs counts as one more "
        "observation of an arm's own variance.",
        host=True,
    ),
    "record_cost": Kernel(
        "bandit",
        _CELL
        | {"arm": "int", "probability": "float", "baseline": "float", "cost": "float", "floor": "float"}
        | {"weight": "float", "discount": "float"},
        "Take in the cost of an arm drawn with this probability and baseline, after all sums were multiplied by "
        "discount; weight -1 takes a cost out again.",
        host=True,
    ),
    "chebyshev_draw": Kernel(
        "bandit",
        {"arms": "float64[3]", "totals": "float64[2]", "squares": "float64[1]", "theta": "float64[2]"}
        | {"point": "float64[1]", "powers": "int64[2]", "degrees": "float64[1]", "features": "float64[1]"}
        | _DRAW
        | _OUT,
        "ChebCB: with y = theta @ features, features_j = prod_k T_powers[j, k](point_k) (as given, if powers has no "
        "rows), p_i = 1 / (d + rate (y_i - min y)), what remains to the least; rate = 2 t sqrt(d t / (R + 2 alpha^2 "
        "t)), R and alpha from squares, degrees and the range of the costs.",
        host=True,
    ),
    "chebyshev_record": Kernel(
        "bandit",
        {"arms": "float64[3]", "totals": "float64[2]", "squares": "float64[1]"}
        | _LINEAR
        | {"degrees": "float64[1]", "features": "float64[1]", "arm": "int", "prediction": "float", "cost": "float"}
        | {"floor": "float", "weight": "float", "discount": "float", "work": "float64[2]"},
        "Take in a cost and refit theta, of this arm or, if the range of all costs grew, of every arm: least squares "
        "with `|theta_j| <= 2 range / degrees_j`, the largest cost for degree 0. squares (4): sums of prediction^2, "
        "prediction * cost, cost^2, and the residual of the last fit with an active bound. work is (m + 3, m).",
        host=True,
    ),
    "column_dots": Kernel(
        "descent",
        _CSC | {"v": _VECTOR, "out": _VECTOR},
        "out = A' v for a CSC matrix A (n, k).",
    ),
    "column_squares": Kernel(
        "descent",
        _CSC | {"weights": _VECTOR, "out": _VECTOR},
        "out[j] = sum_i weights_i a_ij^2 for a CSC matrix; weights of length 0 stand for ones.",
    ),
    "csc_descent": Kernel(
        "descent",
        _CSC | _DESCENT,
        "len(violations) cyclic epochs of exact coordinate steps for a CSC matrix without duplicate entries.",
    ),
    "dense_descent": Kernel(
        "descent",
        {"rows": _MATRIX} | _DESCENT,
        "csc_descent for a dense matrix given by its transpose, rows (k, n).",
    ),
    "gram_descent": Kernel(
        "descent",
        {"H": _MATRIX, "penalty": _MATRIX, "x": _VECTOR, "g": _VECTOR, "violations": "float64[1]"},
        "The same for a quadratic f with Hessian H (k, k), symmetric, whose gradient g (k) is kept up to date; on "
        "return violations[e] is NaN for the epochs that were not needed because an earlier one changed nothing.",
    ),
    "gram_descent_epochs": Kernel(
        "descent",
        {"k": "int"},
        "Return how many epochs of gram_descent to run at a time; a host function.",
    ),
    "direct_support": Kernel(
        "descent",
        {"k": "int"},
        "Return up to how many coordinates that may move, of k, a factorisation of their Hessian is no dearer than the "
        "epochs of gram_descent that it saves; a host function.",
    ),
    "csc_gram": Kernel(
        "descent",
        _CSC
        | {"weights": _VECTOR, "first": "int", "starts": "int64[1]", "places": "int32[1]", "work": _VECTOR}
        | {"H": _MATRIX},
        "H[j, l] = sum_i weights_i a_ij a_il for all j, l with max(j, l) >= first, the rest is left alone (CSC without "
        "duplicate entries; weights of length 0 stand for ones). Scratch: starts (n + 1), places (nnz), work of the "
        "size that csc_gram_work tells.",
    ),
    "csc_gram_work": Kernel(
        "descent",
        {"n": "int", "k": "int", "nnz": "int"},
        "Return the size of the scratch `work` that csc_gram needs; a host function.",
    ),
    "forest_factor": Kernel(
        "forest",
        _TREES | {"diagonal": _VECTOR, "entries": _VECTOR, "links": _VECTOR, "inverse": _VECTOR, "info": "int64[1]"},
        "Factor the matrix with this diagonal and with entries[k] between row k and its parent (0 for roots): inverse "
        "= 1 / pivots, links = entries / pivots. info[0] = the last row with a pivot at most 4 eps |diagonal|, or NaN, "
        "which makes it and the rows above it NaN; -1 without.",
    ),
    "forest_solve": Kernel(
        "forest",
        _TREES | _FACTORS | {"x": _VECTOR},
        "Overwrite x with the solution of the system that forest_factor took, for the right-hand side x.",
    ),
    "forest_ssor": Kernel(
        "forest",
        {"ldata": "real[1]", "lindices": "index[1]", "lindptr": "index[1]"}
        | {"udata": "real[1]", "uindices": "index[1]", "uindptr": "index[1]", "blocks": "int64[1]"}
        | _TREES
        | _FACTORS
        | {"omega": "float", "symmetric": "int", "r": _VECTOR, "z": _VECTOR, "work": _VECTOR},
        "One sweep from zero over forests, rows blocks[f] to blocks[f + 1] - 1 each, with the factors of all diagonal "
        "blocks D and the entries in the columns of earlier forests (L) and of later ones (U): z = (D / omega + L)^-1 "
        "r and, with `symmetric`, then z = (D / omega + U)^-1 (2 / omega - 1) D z; work (n) is scratch.",
    ),
    "forest_schur": Kernel(
        "forest",
        _CSR
        | {"tdata": "real[1]", "tindices": "index[1]", "tindptr": "index[1]"}
        | _TREES
        | _FACTORS
        | {"v": _VECTOR, "y": _VECTOR},
        "Eliminate the first rows of H, a forest: with v_2, the last len(y) numbers of v, given, v_1 = -H_11^-1 H_12 "
        "v_2 and y = (H v)_2. The first CSR triple is H_12, its columns numbered as those of H, the second the last "
        "rows of H.",
    ),
    "grow_forests": Kernel(
        "graph",
        _PATTERN | {"order": "int64[1]", "most": "int", "forests": "int32[1]", "work": "int32[2]"},
        "Put each node of `order` into the first of `most` forests where no two of its neighbours are in one tree: "
        "forests[i] is its number, -1 for nodes that fit in none or are not in `order`; work (3, n + 1) is scratch.",
        host=True,
    ),
    "forest_order": Kernel(
        "graph",
        _PATTERN
        | {"nodes": "int64[1]", "forests": "int32[1]", "starts": "int64[1]", "order": "int64[1]"}
        | {"parents": "int32[1]", "depths": "int32[1]", "work": "int32[2]", "info": "int64[1]"},
        "Order the forests that `nodes` with forests[i] >= 0 induce, forest f from place starts[f] on (which moves to "
        "its end): depth first, a tree after the other, parents before children. order[k] is the node in place k, "
        "parents[k] <= k the place of its parent, its own for a root, depths[k] its distance from the root. info[0] = "
        "-1, or a node on a cycle, where it ends; work (3, n) is scratch.",
        host=True,
    ),
    "forest_entries": Kernel(
        "graph",
        _CSR | {"order": "int64[1]", "parents": "int32[1]", "diagonal": _VECTOR, "links": _VECTOR},
        "Of the matrix of a forest in the order of forest_order: its diagonal, and links[k], the entry between a node "
        "and its parent, 0 for roots.",
        host=True,
    ),
    "balanced_colours": Kernel(
        "graph",
        _PATTERN | {"order": "int64[1]", "colours": "int32[1]", "used": "int32[1]", "counts": "int64[1]"},
        "Give each node of `order` the least used colour that no neighbour has, the first of equals, a new one if "
        "there is none; -1 for others. counts (n + 1): how often each is used; used (n + 1) is scratch.",
        host=True,
    ),
    "two_colours": Kernel(
        "graph",
        _PATTERN | {"colours": "int32[1]", "queue": "int32[1]", "info": "int64[1]"},
        "Colour each node 0 or 1 by the parity of its distance from the first node of its component; info[0] = -1, or "
        "a node on an odd cycle, where it ends; queue (n) is scratch.",
        host=True,
    ),
    "greedy_steps": Kernel(
        "graph",
        _CSR
        | {"curvature": _VECTOR, "penalty": _MATRIX, "rule": "int", "fresh": "int", "x": _VECTOR, "g": _VECTOR}
        | {"scores": _VECTOR, "heap": "int32[1]", "places": "int32[1]", "chosen": "int64[1]"},
        "len(chosen) steps of coordinate descent for a quadratic with symmetric sparse Hessian, gradient g and penalty "
        "(3, n): l1, lower, upper. Each minimises along the coordinate of the largest score, the first of equals, and "
        "updates x and g: rule 0: the minimal subgradient squared, 1: divided by curvature (the diagonal), 2: the "
        "decrease. chosen = -1 when no score is positive. Scratch scores, heap, places (n), which hold a heap between "
        "calls; `fresh` builds it.",
        host=True,
    ),
    "softmax_terms": Kernel(
        "softmax",
        {"margins": _MATRIX, "labels": "int64[1]", "loss": _VECTOR, "probabilities": _MATRIX},
        "For each row of margins (n, k): probabilities = softmax, loss = logsumexp - margins[labels], with the largest "
        "margin taken out first.",
    ),
    "softmax_product": Kernel(
        "softmax",
        {"probabilities": _MATRIX, "weights": _VECTOR, "V": _MATRIX, "out": _MATRIX},
        "out_i = weights_i (diag(p_i) - p_i p_i') V_i for each row i; weights of length 0 stand for ones; out may be "
        "V.",
    ),
}
"""Name -> where, how and what; each home holds exactly these."""
