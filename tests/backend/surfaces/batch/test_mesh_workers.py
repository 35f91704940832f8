"""Mesh extraction in other processes: the same meshes, also when the processes die."""

from __future__ import annotations

import os
import signal

import numpy as np

from im2hands.geometry.even_points import even_points
from im2hands.geometry.marching_cubes import NearSurface, closed_mesh
from im2hands.geometry.mesh_placing import Placement
from im2hands.surfaces.batch.mesh_workers import MeshWorkers


def _ball(radius: float) -> NearSurface:
    axes = np.stack(np.meshgrid(*[np.arange(-8.0, 9.0)] * 3, indexing="ij"), axis=-1)
    values = (radius - np.linalg.norm(axes, axis=-1)).astype(np.float32).ravel()
    places = (np.abs(values) < 2).nonzero()[0]
    return NearSurface((17, 17, 17), places, values[places], np.array([-0.08, -0.08, -0.08]), 0.01)


def test_the_same_meshes_from_other_processes() -> None:
    known = [_ball(4.3), _ball(6.1)]
    workers, here = MeshWorkers(1), MeshWorkers(0)
    meshes = [workers.mesh(one) for one in known]
    for one, mesh in zip(known, meshes, strict=True):
        made, expected = mesh(), here.mesh(one)()
        assert made is not None and expected is not None
        assert np.array_equal(made.vertices, expected.vertices) and np.array_equal(made.faces, expected.faces)
        assert np.linalg.norm(made.vertices, axis=1).max() < 0.065
    nothing = NearSurface((3, 3, 3), np.array([0]), np.array([-1.0], np.float32), np.zeros(3), 1.0)
    assert closed_mesh(nothing) is None and workers.mesh(nothing)() is None
    where = Placement(np.eye(3), np.array([0.1, 0.0, 0.5]), np.array([-1.0, 1.0, 1.0]))
    anchors = workers.anchors(known[0], where, 40)()
    whole = here.mesh(known[0])()
    assert anchors is not None and whole is not None and workers.anchors(nothing, where, 40)() is None
    assert np.array_equal(anchors, even_points(*where.place(whole.vertices, whole.faces), 40))
    workers.close()
    assert workers.mesh(known[0])() is not None  # in this process


def test_processes_that_die(caplog) -> None:
    workers = MeshWorkers(1)
    assert workers.mesh(_ball(4.3))() is not None
    assert workers._pool is not None
    for process in workers._pool._processes:
        os.kill(process, signal.SIGTERM)
    meshes = [workers.mesh(_ball(radius)) for radius in (4.3, 5.2)]
    assert all(mesh() is not None for mesh in meshes)
    assert "the mesh processes have ended" in caplog.text
    workers.close()
