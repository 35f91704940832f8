"""Averaging over the neighbours of the template's vertices."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from .topology import Topology


def neighbour_mean(topology: Topology) -> sparse.csr_matrix:
    """The matrix that averages every vertex with the vertices it shares an edge with.

    Parameters
    ----------
    topology : Topology
        Topology of the template.

    Returns
    -------
    (T, T) sparse matrix
        Rows sum to 1.
    """
    faces, count = topology.faces, topology.vertex_count
    quads = faces[faces[:, 3] >= 0]
    ends = [faces[:, [0, 1]], faces[:, [1, 2]], quads[:, [2, 3]], quads[:, [3, 0]], faces[faces[:, 3] < 0][:, [2, 0]]]
    pairs = np.concatenate(ends)
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    beside = sparse.csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (count, count))
    beside.data[:] = 1.0
    around = (beside + sparse.identity(count)).tocsr()
    return (sparse.diags(1.0 / np.asarray(around.sum(axis=1)).ravel()) @ around).tocsr()
