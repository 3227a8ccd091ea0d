"""The kernels of one home as a type."""

from typing import Protocol

from numopt._typing import Array

__all__ = ["KernelSet"]


class KernelSet(Protocol):
    """The kernels of one home; `KERNELS` says what each does."""

    def row_kaczmarz(self, A: Array, b: Array, norms2: Array, rows: Array, x: Array) -> None: ...

    def csr_row_kaczmarz(
        self, data: Array, indices: Array, indptr: Array, b: Array, norms2: Array, rows: Array, x: Array
    ) -> None: ...

    def gram_parts(self, n_rows: int, n: int) -> int: ...

    def weighted_gram_csr(
        self, data: Array, indices: Array, indptr: Array, weights: Array, work: Array, out: Array
    ) -> None: ...

    def logistic_terms(self, margins: Array, labels: Array, loss: Array, residual: Array, weight: Array) -> None: ...

    def gibbs_parts(self, n: int, m: int) -> int: ...

    def gibbs_sums(self, C: Array, f: Array, g: Array, inv_reg: float, r: Array, work: Array, c: Array) -> None: ...

    def gibbs_plan(
        self, C: Array, f: Array, g: Array, inv_reg: float, P: Array, r: Array, work: Array, c: Array
    ) -> None: ...

    def gibbs_lse_rows(self, C: Array, g: Array, inv_reg: float, out: Array) -> None: ...

    def gibbs_lse_cols(self, C: Array, f: Array, inv_reg: float, work: Array, out: Array) -> None: ...

    def scaling_sweep(
        self, K: Array, a: Array, b: Array, u: Array, v: Array, r: Array, work: Array, c: Array
    ) -> None: ...

    def gibbs_count(
        self,
        C: Array,
        f: Array,
        g: Array,
        inv_reg: float,
        row_floor: Array,
        col_floor: Array,
        row_count: Array,
        work: Array,
    ) -> None: ...

    def gibbs_fill(
        self,
        C: Array,
        f: Array,
        g: Array,
        inv_reg: float,
        row_floor: Array,
        col_floor: Array,
        indptr: Array,
        indices: Array,
        data: Array,
    ) -> None: ...

    def gibbs_fill_columns(
        self,
        C: Array,
        f: Array,
        g: Array,
        inv_reg: float,
        row_floor: Array,
        col_floor: Array,
        starts: Array,
        indices: Array,
        data: Array,
    ) -> None: ...

    def schur_product(
        self,
        data: Array,
        indices: Array,
        indptr: Array,
        tdata: Array,
        tindices: Array,
        tindptr: Array,
        r: Array,
        c: Array,
        x: Array,
        z: Array,
        y: Array,
    ) -> None: ...

    def schur_pcg(
        self,
        data: Array,
        indices: Array,
        indptr: Array,
        tdata: Array,
        tindices: Array,
        tindptr: Array,
        r: Array,
        c: Array,
        rhs: Array,
        diagonal: Array,
        rtol: float,
        maxiter: int,
        x: Array,
        work: Array,
        columns: Array,
        info: Array,
    ) -> None: ...

    def point_row_sums(self, X: Array, Y: Array, metric: int, f: Array, g: Array, inv_reg: float, r: Array) -> None: ...

    def point_lse_rows(self, X: Array, Y: Array, metric: int, g: Array, inv_reg: float, out: Array) -> None: ...

    def point_count(
        self,
        X: Array,
        Y: Array,
        metric: int,
        f: Array,
        g: Array,
        inv_reg: float,
        row_floor: Array,
        col_floor: Array,
        row_count: Array,
    ) -> None: ...

    def point_fill(
        self,
        X: Array,
        Y: Array,
        metric: int,
        f: Array,
        g: Array,
        inv_reg: float,
        row_floor: Array,
        col_floor: Array,
        indptr: Array,
        indices: Array,
        data: Array,
    ) -> None: ...

    def point_apply(
        self, X: Array, Y: Array, metric: int, f: Array, g: Array, inv_reg: float, V: Array, out: Array
    ) -> None: ...

    def point_value(self, X: Array, Y: Array, metric: int, f: Array, g: Array, inv_reg: float, out: Array) -> None: ...

    def side_terms(self, weights: Array, potential: Array, sums: Array, gap: Array, out: Array) -> None: ...

    def step_terms(self, direction: Array, gap: Array, sums: Array, out: Array) -> None: ...

    def kept_offsets(self, row_count: Array, work: Array, indptr: Array, tindptr: Array) -> None: ...

    def bipartite_components(
        self, indices: Array, indptr: Array, tindices: Array, tindptr: Array, row_labels: Array, col_labels: Array
    ) -> None: ...

    def sor_sweeps(
        self,
        data: Array,
        indices: Array,
        indptr: Array,
        split: Array,
        inverse: Array,
        classes: Array,
        b: Array,
        omega: float,
        order: int,
        x: Array,
        delta: Array,
        norms: Array,
    ) -> None: ...

    def split_values(
        self,
        data: Array,
        indices: Array,
        indptr: Array,
        split: Array,
        scale: Array,
        lindptr: Array,
        uindptr: Array,
        ldata: Array,
        udata: Array,
    ) -> None: ...

    def ssor_sweeps(
        self,
        ldata: Array,
        lindices: Array,
        lindptr: Array,
        udata: Array,
        uindices: Array,
        uindptr: Array,
        inverse: Array,
        classes: Array,
        b: Array,
        omega: float,
        x: Array,
        upper: Array,
        delta: Array,
        norms: Array,
    ) -> None: ...

    def ssor_solve(
        self,
        ldata: Array,
        lindices: Array,
        lindptr: Array,
        udata: Array,
        uindices: Array,
        uindptr: Array,
        scale: Array,
        classes: Array,
        omega: float,
        r: Array,
        z: Array,
    ) -> None: ...

    def eisenstat_pcg(
        self,
        ldata: Array,
        lindices: Array,
        lindptr: Array,
        udata: Array,
        uindices: Array,
        uindptr: Array,
        root: Array,
        classes: Array,
        omega: float,
        check: int,
        target: float,
        maxiter: int,
        x: Array,
        r: Array,
        p: Array,
        work: Array,
        info: Array,
    ) -> None: ...

    def block_sor_sweeps(
        self,
        data: Array,
        indices: Array,
        indptr: Array,
        split: Array,
        blocks: Array,
        inverses: Array,
        classes: Array,
        b: Array,
        omega: float,
        order: int,
        x: Array,
        delta: Array,
        norms: Array,
    ) -> None: ...

    def line_sor_sweeps(
        self,
        data: Array,
        indices: Array,
        indptr: Array,
        split: Array,
        blocks: Array,
        factors: Array,
        classes: Array,
        b: Array,
        omega: float,
        order: int,
        x: Array,
        delta: Array,
        norms: Array,
    ) -> None: ...

    def stencil_sweeps(
        self,
        coefficients: Array,
        nz: int,
        ny: int,
        nx: int,
        colours: int,
        b: Array,
        omega: float,
        order: int,
        x: Array,
        delta: Array,
        norms: Array,
    ) -> None: ...

    def stencil_product(self, coefficients: Array, nz: int, ny: int, nx: int, x: Array, y: Array) -> None: ...

    def sor_batch(
        self,
        data: Array,
        indices: Array,
        indptr: Array,
        split: Array,
        classes: Array,
        which: Array,
        b: Array,
        omega: Array,
        order: int,
        target: Array,
        maxiter: int,
        x: Array,
        work: Array,
        nit: Array,
        norms: Array,
    ) -> None: ...

    def sor_batch_work(self, n_systems: int, n: int, nnz: int) -> int: ...

    def greedy_colours(self, indices: Array, indptr: Array, colours: Array, used: Array) -> None: ...

    def row_levels(self, indices: Array, indptr: Array, levels: Array) -> None: ...

    def tsallis_draw(
        self,
        arms: Array,
        totals: Array,
        cell: int,
        floor: float,
        scale: float,
        horizon: float,
        reduced: int,
        limits: Array,
        u: float,
        p: Array,
        out: Array,
    ) -> None: ...

    def exponential_draw(
        self,
        arms: Array,
        totals: Array,
        cell: int,
        floor: float,
        scale: float,
        horizon: float,
        rate: float,
        limits: Array,
        u: float,
        p: Array,
        out: Array,
    ) -> None: ...

    def confidence_draw(
        self, arms: Array, totals: Array, cell: int, limits: Array, u: float, p: Array, scores: Array, out: Array
    ) -> None: ...

    def greedy_draw(
        self,
        arms: Array,
        totals: Array,
        cell: int,
        epsilon: float,
        limits: Array,
        u: float,
        p: Array,
        scores: Array,
        out: Array,
    ) -> None: ...

    def thompson_draw(
        self,
        arms: Array,
        totals: Array,
        cell: int,
        normals: Array,
        limits: Array,
        u: float,
        p: Array,
        scores: Array,
        out: Array,
    ) -> None: ...

    def record_cost(
        self,
        arms: Array,
        totals: Array,
        cell: int,
        arm: int,
        probability: float,
        baseline: float,
        cost: float,
        floor: float,
        weight: float,
        discount: float,
    ) -> None: ...

    def chebyshev_draw(
        self,
        arms: Array,
        totals: Array,
        squares: Array,
        theta: Array,
        point: Array,
        powers: Array,
        degrees: Array,
        features: Array,
        limits: Array,
        u: float,
        p: Array,
        out: Array,
    ) -> None: ...

    def chebyshev_record(
        self,
        arms: Array,
        totals: Array,
        squares: Array,
        gram: Array,
        moments: Array,
        theta: Array,
        degrees: Array,
        features: Array,
        arm: int,
        prediction: float,
        cost: float,
        floor: float,
        weight: float,
        discount: float,
        work: Array,
    ) -> None: ...

    def column_dots(self, data: Array, indices: Array, indptr: Array, v: Array, out: Array) -> None: ...

    def column_squares(self, data: Array, indices: Array, indptr: Array, weights: Array, out: Array) -> None: ...

    def csc_descent(
        self,
        data: Array,
        indices: Array,
        indptr: Array,
        weights: Array,
        means: Array,
        sums: Array,
        curvature: Array,
        penalty: Array,
        x: Array,
        s: Array,
        offset: Array,
        violations: Array,
    ) -> None: ...

    def dense_descent(
        self,
        rows: Array,
        weights: Array,
        means: Array,
        sums: Array,
        curvature: Array,
        penalty: Array,
        x: Array,
        s: Array,
        offset: Array,
        violations: Array,
    ) -> None: ...

    def gram_descent(self, H: Array, penalty: Array, x: Array, g: Array, violations: Array) -> None: ...

    def gram_descent_epochs(self, k: int) -> int: ...

    def direct_support(self, k: int) -> int: ...

    def csc_gram(
        self,
        data: Array,
        indices: Array,
        indptr: Array,
        weights: Array,
        first: int,
        starts: Array,
        places: Array,
        work: Array,
        H: Array,
    ) -> None: ...

    def csc_gram_work(self, n: int, k: int, nnz: int) -> int: ...

    def forest_factor(
        self,
        parents: Array,
        levels: Array,
        children: Array,
        diagonal: Array,
        entries: Array,
        links: Array,
        inverse: Array,
        info: Array,
    ) -> None: ...

    def forest_solve(
        self, parents: Array, levels: Array, children: Array, links: Array, inverse: Array, x: Array
    ) -> None: ...

    def forest_ssor(
        self,
        ldata: Array,
        lindices: Array,
        lindptr: Array,
        udata: Array,
        uindices: Array,
        uindptr: Array,
        blocks: Array,
        parents: Array,
        levels: Array,
        children: Array,
        links: Array,
        inverse: Array,
        omega: float,
        symmetric: int,
        r: Array,
        z: Array,
        work: Array,
    ) -> None: ...

    def forest_schur(
        self,
        data: Array,
        indices: Array,
        indptr: Array,
        tdata: Array,
        tindices: Array,
        tindptr: Array,
        parents: Array,
        levels: Array,
        children: Array,
        links: Array,
        inverse: Array,
        v: Array,
        y: Array,
    ) -> None: ...

    def grow_forests(
        self, indices: Array, indptr: Array, order: Array, most: int, forests: Array, work: Array
    ) -> None: ...

    def forest_order(
        self,
        indices: Array,
        indptr: Array,
        nodes: Array,
        forests: Array,
        starts: Array,
        order: Array,
        parents: Array,
        depths: Array,
        work: Array,
        info: Array,
    ) -> None: ...

    def forest_entries(
        self, data: Array, indices: Array, indptr: Array, order: Array, parents: Array, diagonal: Array, links: Array
    ) -> None: ...

    def balanced_colours(
        self, indices: Array, indptr: Array, order: Array, colours: Array, used: Array, counts: Array
    ) -> None: ...

    def two_colours(self, indices: Array, indptr: Array, colours: Array, queue: Array, info: Array) -> None: ...

    def greedy_steps(
        self,
        data: Array,
        indices: Array,
        indptr: Array,
        curvature: Array,
        penalty: Array,
        rule: int,
        fresh: int,
        x: Array,
        g: Array,
        scores: Array,
        heap: Array,
        places: Array,
        chosen: Array,
    ) -> None: ...

    def softmax_terms(self, margins: Array, labels: Array, loss: Array, probabilities: Array) -> None: ...

    def softmax_product(self, probabilities: Array, weights: Array, V: Array, out: Array) -> None: ...
