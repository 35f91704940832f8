"""What the placing of hands minimises: all terms as residuals in standard deviations, with analytic derivatives.

Every term adds its cost (half the sum of squared residuals), gradient and Gauss-Newton matrix to the normal equations.
The losses of pixels and of overlaps are pseudo-Huber: quadratic near zero, linear far away.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from .chain import KEYPOINTS, Chain, Hands
from .kinematics import ANGLE_LIMITS, ANGLES, LENGTHS, PARAMETERS, POSE, SIZE, THICKNESS, USUAL_STRETCH
from .spheres import SPHERES, sphere_radii
from .sums import Sums, robust

# Standard deviations of the terms.
_STRETCH = 0.09  # natural logarithm of a bone length against the usual one
_WIDTH = 0.08  # natural logarithm of the palm's width factor
_SIZE = 0.07  # natural logarithm of the hand's size against the take's palm length
_THICKNESS = 0.10  # natural logarithm of the thickness; only edge and overlaps tell of it
_ANGLE = 45.0  # degrees; joint angle against the usual one
_COUPLING = 15.0  # degrees; a finger's last joint against two thirds of the joint before it
_COUPLED = 0.67
_BEYOND = 3.0  # degrees; how far a joint exceeds its limit
_ALIKE = 0.02  # natural logarithms of one person's two hands against each other: bone lengths, width and thickness
_ALIKE_SIZE = 0.12  # the same of their sizes; what a photo tells of a hand's size, and so of its distance, is inexact
_OVERLAP = 0.004  # metres; depth to which two spheres of different hands overlap
_ROBUST = 4.0  # deviations beyond which the loss of a pixel grows linearly
_ROBUST_OVERLAP = 3.0  # the same of an overlap
_SHIFTS = 4  # rounds in which the common shift of a hand's places is sought
_LEAST_SHIFT = 1e-12  # least variance that is divided by
_NEAREST = 0.02  # metres; least depth by which a point is projected

STARTS = np.array([0, 0, 0, 0, 0, *(4 * f + k for f in range(5) for k in range(1, 4))])
"""Keypoint at the beginning of each of the 20 bones: wrist to the roots of the fingers, then the phalanges."""
ENDS = np.array([1, 5, 9, 13, 17, *(4 * f + k + 1 for f in range(5) for k in range(1, 4))])
"""Keypoint at the end of each of the 20 bones."""

USUAL_SHAPE = np.concatenate([USUAL_STRETCH.ravel(), np.zeros(3)])
"""(18,) the usual shape."""
SHAPE_SPREAD = np.concatenate([np.full(LENGTHS, _STRETCH), [_WIDTH, _SIZE, _THICKNESS]])
"""(18,) standard deviations of shapes from it."""
ALIKE_SPREAD = np.concatenate([np.full(LENGTHS, _ALIKE), [_ALIKE, _ALIKE_SIZE, _ALIKE]])
"""(18,) standard deviations of one person's two hands from each other."""
_LOW, _HIGH, _USUAL = np.moveaxis(ANGLE_LIMITS, -1, 0).reshape(3, ANGLES)
_SECONDS = 6 + np.arange(1, 5) * 4 + 1
_THIRDS = _SECONDS + 1


@dataclass(frozen=True)
class Evidence:
    """What is seen of N hands. Left hands are described by their mirror images in x.

    Parameters
    ----------
    mirror : (N, 3) float64
        Signs that turn the described hands into the real ones.
    rays : (N, 21, 2) float64
        Places of the keypoints in the picture, x / z and y / z.
    sigma : (N, 21) float64
        Standard deviations of the places, same unit.
    directions : (N, 20, 3) float64
        Unit directions of the bones, camera axes.
    toward : (N, 20) float64
        Standard deviations of the directions.
    thickness : (N,) float64
        What thickness is usual for them, see ``kinematics.SHAPE``.
    common : (N,) float64
        Standard deviations of a shift of all places of a hand alike, same unit as ``sigma``.
    """

    mirror: np.ndarray
    rays: np.ndarray
    sigma: np.ndarray
    directions: np.ndarray
    toward: np.ndarray
    thickness: np.ndarray
    common: np.ndarray

    def rows(self, chosen: np.ndarray) -> Evidence:
        """Return the evidence of some of the hands, by number or mask."""
        return Evidence(*(getattr(self, part.name)[chosen] for part in fields(self)))


@dataclass(frozen=True)
class Between:
    """What is known of the depth between the wrists of B pairs: two estimates each.

    Parameters
    ----------
    depth : (B, 2) float64
        Depth of the second hand's wrist less that of the first's, metres.
    sigma : (B, 2) float64
        Standard deviations, metres; infinite without an estimate.
    """

    depth: np.ndarray
    sigma: np.ndarray

    def rows(self, chosen: np.ndarray) -> Between:
        """Return the evidence of some of the pairs."""
        return Between(self.depth[chosen], self.sigma[chosen])


def of_each_hand(hands: Hands, seen: Evidence, shifted: bool = False) -> Sums:
    """Return the terms of N hands, each by itself.

    Parameters
    ----------
    hands : Hands
        The hands.
    seen : Evidence
        What is seen of them.
    shifted : bool
        Whether all places of a hand may be off alike. In a single picture nothing tells that from the hand's place;
        in a clip its motion does.

    Returns
    -------
    Sums
        N normal equations in the 44 parameters of ``Hands.moved``.
    """
    count = len(hands)
    sums = Sums.empty(count, PARAMETERS)
    chain = Chain(hands)
    points, change = chain.points_and_jacobian(KEYPOINTS)
    common = seen.common if shifted else np.zeros(count)
    _add_pixels(sums, points + hands.translation[:, None], change, seen.rays, seen.sigma, common)
    span, span_change = points[:, ENDS] - points[:, STARTS], change[:, ENDS] - change[:, STARTS]
    length = np.maximum(np.linalg.norm(span, axis=-1), 1e-9)[..., None]
    unit = span / length
    scale = 1 / (length * seen.toward[..., None])
    residual = (unit - seen.directions) / seen.toward[..., None]
    unit_change = (span_change - unit[..., None] * (unit[..., None, :] @ span_change)) * scale[..., None]
    sums.cost += 0.5 * (residual**2).sum(axis=(1, 2))
    sums.add_squares(residual.reshape(count, 3 * len(ENDS)), unit_change.reshape(count, 3 * len(ENDS), PARAMETERS))
    add_anatomy(sums, hands, seen.thickness)
    return sums


def _add_pixels(
    sums: Sums, points: np.ndarray, change: np.ndarray, rays: np.ndarray, deviation: np.ndarray, common: np.ndarray
) -> None:
    """Add the distances of points (N, E, 3) from their places in the picture (N, E, 2), with deviations (N, E).

    The places of each hand are shifted alike by what costs least, with deviations ``common`` (N,). The shift is
    eliminated from the normal equations.
    """
    depth = np.maximum(points[..., 2], _NEAREST)[..., None]
    flat = points[..., :2] / depth
    sigma = deviation[..., None]
    away = flat - rays
    slope = (change[..., :2, :] - flat[..., None] * change[..., 2:3, :]) / (depth * sigma)[..., None]
    shift, tight = np.zeros((len(points), 1, 2)), common[:, None, None] ** 2
    for _ in range(_SHIFTS if common.any() else 0):
        trust = robust((((away - shift) / sigma) ** 2).sum(axis=-1), _ROBUST)[1][..., None] / sigma**2
        shift = tight * (trust * away).sum(axis=1, keepdims=True) / (1 + tight * trust.sum(axis=1, keepdims=True))
    residual = (away - shift) / sigma
    loss, weight = robust((residual**2).sum(axis=-1), _ROBUST)
    sums.cost += loss.sum(axis=1)
    root = np.sqrt(weight)[..., None]
    count, rows = len(points), 2 * points.shape[1]
    sums.add_squares((root * residual).reshape(count, rows), (root[..., None] * slope).reshape(count, rows, PARAMETERS))
    if common.any():
        sums.cost += 0.5 * (shift[:, 0] ** 2 / np.maximum(tight[:, 0], _LEAST_SHIFT)).sum(axis=1)
        pulled = ((weight[..., None] / sigma)[..., None] * slope).sum(axis=1)
        held = tight / (1 + tight * (weight / deviation**2).sum(axis=1)[:, None, None])
        sums.normal -= pulled.swapaxes(1, 2) @ (pulled * held)


def add_anatomy(sums: Sums, hands: Hands, thickness: np.ndarray) -> None:
    """Add joint limits, usual angles, coupled joints and usual shapes to the sums of N single hands.

    Parameters
    ----------
    sums : Sums
        N normal equations in 44 parameters.
    hands : Hands
        The hands.
    thickness : (N,) float64
        What thickness is usual for them, see ``kinematics.SHAPE``.
    """
    angle, coupling, limit = np.radians((_ANGLE, _COUPLING, _BEYOND))
    angles = hands.angles.reshape(-1, ANGLES)
    columns = 6 + np.arange(ANGLES)
    sums.add_diagonal(columns, (angles - _USUAL) / angle, np.full(ANGLES, 1 / angle))
    beyond = np.minimum(angles - _LOW, 0.0) + np.maximum(angles - _HIGH, 0.0)
    sums.add_diagonal(columns, beyond / limit, (beyond != 0) / limit)
    coupled = (hands.angles[:, 1:, 2] - _COUPLED * hands.angles[:, 1:, 1]) / coupling
    sums.cost += 0.5 * (coupled**2).sum(axis=1)
    for one, slope in ((_THIRDS, 1 / coupling), (_SECONDS, -_COUPLED / coupling)):
        sums.gradient[:, one] += slope * coupled
        sums.normal[:, one, one] += slope**2
    sums.normal[:, _THIRDS, _SECONDS] -= _COUPLED / coupling**2
    sums.normal[:, _SECONDS, _THIRDS] -= _COUPLED / coupling**2
    shape = POSE + np.arange(len(USUAL_SHAPE))
    away = hands.shape - USUAL_SHAPE
    away[:, THICKNESS] -= thickness
    sums.add_diagonal(shape, away / SHAPE_SPREAD, 1 / SHAPE_SPREAD)


def of_pairs(hands: Hands, seen: Evidence, between: Between) -> Sums:
    """Return the terms of B pairs of hands, with those of each hand.

    Parameters
    ----------
    hands : Hands
        2 B hands: the first and the second of each pair in turn.
    seen : Evidence
        What is seen of them.
    between : Between
        What is known of the depth between their wrists.

    Returns
    -------
    Sums
        B normal equations in 88 parameters: those of the first hand, then those of the second.
    """
    pairs = len(hands) // 2
    sums = Sums.empty(pairs, 2 * PARAMETERS)
    single = of_each_hand(hands, seen)
    for k in range(2):
        sums.add_hands(np.arange(pairs), k, single.rows(np.arange(k, 2 * pairs, 2)))
    _add_depths(sums, hands, between)
    _add_likeness(sums, hands)
    add_overlaps(sums, hands, seen.mirror, _OVERLAP)
    return sums


def of_being_two(hands: Hands, mirror: np.ndarray, between: Between) -> Sums:
    """Return the terms of B pairs that exist between the hands: depth between the wrists, and no hand in the other.

    Parameters
    ----------
    hands : Hands
        2 B hands: the first and the second of each pair in turn.
    mirror : (2 B, 3) float64
        Signs that turn the described hands into the real ones.
    between : Between
        What is known of the depth between their wrists.

    Returns
    -------
    Sums
        B normal equations in 88 parameters: those of the first hand, then those of the second.
    """
    sums = Sums.empty(len(hands) // 2, 2 * PARAMETERS)
    _add_depths(sums, hands, between)
    add_overlaps(sums, hands, mirror, _OVERLAP)
    return sums


def _add_depths(sums: Sums, hands: Hands, between: Between) -> None:
    depth = hands.translation[:, 2].reshape(-1, 2)
    residual = ((depth[:, 1] - depth[:, 0])[:, None] - between.depth) / between.sigma
    slope = 1 / between.sigma
    jacobian = np.zeros((*residual.shape, 2 * PARAMETERS))
    jacobian[..., 5], jacobian[..., PARAMETERS + 5] = -slope, slope
    sums.cost += 0.5 * (residual**2).sum(axis=1)
    sums.add_squares(residual, jacobian)


def _add_likeness(sums: Sums, hands: Hands) -> None:
    first, second = hands.shape[0::2], hands.shape[1::2]
    residual = (second - first) / ALIKE_SPREAD
    a = POSE + np.arange(residual.shape[1])
    b = a + PARAMETERS
    sums.cost += 0.5 * (residual**2).sum(axis=1)
    sums.gradient[:, a] -= residual / ALIKE_SPREAD
    sums.gradient[:, b] += residual / ALIKE_SPREAD
    for one, other in ((a, b), (b, a)):
        sums.normal[:, one, one] += 1 / ALIKE_SPREAD**2
        sums.normal[:, one, other] -= 1 / ALIKE_SPREAD**2


def overlaps(hands: Hands, mirror: np.ndarray) -> np.ndarray:
    """Return how deep the spheres of B pairs of hands overlap.

    Parameters
    ----------
    hands : Hands
        2 B hands, the first and the second of each pair in turn.
    mirror : (2 B, 3) float64
        Signs that turn the described hands into the real ones.

    Returns
    -------
    (B, S, S) float64
        Metres, negative for gaps: spheres of the first hand by spheres of the second.
    """
    centres = (Chain(hands).points(SPHERES) + hands.translation[:, None]) * mirror[:, None]
    radii = sphere_radii(hands)
    a, b = centres[0::2], centres[1::2]
    squares = (a**2).sum(-1)[:, :, None] + (b**2).sum(-1)[:, None] - 2 * a @ b.swapaxes(1, 2)
    made: np.ndarray = radii[0::2, :, None] + radii[1::2, None] - np.sqrt(np.maximum(squares, 0.0))
    return made


def add_overlaps(sums: Sums, hands: Hands, mirrors: np.ndarray, deviation: float) -> None:
    """Add the depths to which spheres of the two hands overlap.

    Parameters
    ----------
    sums : Sums
        B normal equations in 88 parameters.
    hands : Hands
        2 B hands: the first and the second of each pair in turn.
    mirrors : (2 B, 3) float64
        Signs that turn the described hands into the real ones.
    deviation : float
        Standard deviation of these depths, metres.
    """
    deep = overlaps(hands, mirrors)
    for pair in np.flatnonzero((deep > 0).any(axis=(1, 2))):
        both = hands.rows(np.array([2 * pair, 2 * pair + 1]))
        mirror = mirrors[[2 * pair, 2 * pair + 1], None]
        first, second = np.nonzero(deep[pair] > 0)
        places, change = Chain(both).points_and_jacobian(SPHERES)
        places = (places + both.translation[:, None]) * mirror
        change = change * mirror[..., None]
        radii = sphere_radii(both)
        way = places[0, first] - places[1, second]
        distance = np.linalg.norm(way, axis=1, keepdims=True)
        # Spheres with one centre are moved apart along the optical axis.
        apart = np.where(distance > 1e-9, way / np.maximum(distance, 1e-9), (0.0, 0.0, 1.0))
        jacobian = np.empty((len(first), 2 * PARAMETERS))
        for k, (rows, sign) in enumerate(((first, -1.0), (second, 1.0))):
            part = sign * (apart[:, None] @ change[k, rows])[:, 0]
            part[:, [POSE + SIZE, POSE + THICKNESS]] += radii[k, rows, None]
            jacobian[:, k * PARAMETERS : (k + 1) * PARAMETERS] = part
        residual = deep[pair, first, second] / deviation
        loss, weight = robust(residual**2, _ROBUST_OVERLAP)
        sums.cost[pair] += loss.sum()
        sums.gradient[pair] += jacobian.T @ (weight * residual) / deviation
        sums.normal[pair] += (jacobian * weight[:, None]).T @ jacobian / deviation**2
