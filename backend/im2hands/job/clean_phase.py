"""The third phase of a job: template hands on every surface, one shape and a clean motion for the whole take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from im2hands.animation.clean_options import VERSION, CleanOptions
from im2hands.animation.motion.files import motion_arrays, write_motion
from im2hands.animation.motion.solve import Motion, solve
from im2hands.animation.motion.take_correctives import TakeCorrectives
from im2hands.animation.motion.tracks import MISSING, OBSERVED, STATUS_WORDS, RawTake, Track, judge, read_raw
from im2hands.animation.template.files import handed, read_rests, write_template
from im2hands.animation.template.take_templates import TakeTemplates
from im2hands.animation.template.topology import load_topology
from im2hands.core.devices import granted_cores
from im2hands.core.errors import DamagedFramesError, TakeError
from im2hands.core.hands import SIDES, Side
from im2hands.geometry.searches import Searches
from im2hands.take.contact import CONTACT
from im2hands.take.edits import Edits
from im2hands.take.frame_file import KEY, read_motion, read_template
from im2hands.take.sequence import is_sequence
from im2hands.take.take import CACHE_FOLDER, MOTION_FILE, TEMPLATE_FILE, Take

from .detection_cache import digest
from .shape_cache import ShapeCache


class CleanPhase:
    """Cleans a take on disk, without pictures or networks.

    Frames whose template was made from the same shape are not fitted again.

    Parameters
    ----------
    take : Take
        A take with surfaces and keypoints. Template vertices are added to its frames.
    options : CleanOptions
        Options of the phase.
    run : callable
        Runs a function without arguments and returns its result. Raises Cancelled if the person asked to stop.
    progress : callable
        Called with the number of finished steps and the number of all steps.
    keep_shape : bool
        Whether the take keeps the shape of its hands although frames changed: only their templates are fitted anew.
    searches : Searches, optional
        The searches of the device that helps to fit the templates; None for the processor's.
    """

    def __init__(
        self, take: Take, options: CleanOptions, run: Callable[[Callable[[], Any]], Any],
        progress: Callable[[int, int], None], *, keep_shape: bool = False, searches: Searches | None = None,
    ) -> None:  # fmt: skip
        self._take, self._options, self._call, self._progress = take, options, run, progress
        self._keep_shape, self._searches = keep_shape, searches
        self._done, self._total = 0, 1

    def run(self) -> dict[str, Any]:
        """Clean the take.

        Returns
        -------
        dict
            The entry ``clean`` of ``take.json``, which is written.

        Raises
        ------
        Cancelled
            The person asked to stop. Finished frames are kept.
        DamagedFramesError
            Frames cannot be read. The take was cleaned without them, if others are left.
        TakeError
            The take cannot be read or written.
        """
        indices = [record.index for record in self._take.frames() if record.file and record.hands]
        raw: RawTake | None = self._call(lambda: read_raw(self._take, indices)) if indices else None
        damaged = raw.damaged if raw is not None else {}
        indices = [index for index in indices if index not in damaged]
        if damaged and not indices:
            raise DamagedFramesError(damaged)
        entry = self._cleaned(raw, indices)
        if damaged:
            raise DamagedFramesError(damaged, "The other frames were cleaned.")
        return entry

    def _cleaned(self, raw: RawTake | None, indices: list[int]) -> dict[str, Any]:
        """Clean the frames that can be read and return the entry ``clean``."""
        sides = [side for side in SIDES if raw is not None and np.isfinite(raw.keypoints[side]).any()]
        if raw is None or not sides:
            return self._finish({"hands": []})
        self._total = 2 * len(indices)
        self._progress(0, self._total)
        frames_key = digest(
            VERSION, self._options.template_density, *(raw.keypoints[side] for side in SIDES),
            [[index, self._take.records[index].key] for index in indices],
            *(["mirrored"] if self._take.mirrored else []),  # the choice of doubtful frames depends on it
        )  # fmt: skip
        edits = Edits.of_take(self._take.folder)
        marks = {row: marks for row, index in enumerate(raw.frames.tolist()) if (marks := edits.marks(index))}
        marked = [[row, *(sorted(sides) for sides in vars(one).values())] for row, one in marks.items()]
        shape = self._kept_shape(frames_key, sides)
        shape_key = frames_key if shape is None else str(shape[KEY])
        key = digest(frames_key, self._options.settings(), *([marked] if marked else []))
        if self._is_fresh(key, shape_key, raw, indices):
            self._progress(self._total, self._total)
            return dict(self._take.header["clean"])
        topology = self._call(lambda: load_topology(self._options.template_density))
        if shape is not None and len(shape["weights"]) != topology.vertex_count:
            shape, shape_key = None, frames_key  # another density: it is measured as for a new take
        if shape is None:
            self._take.header.pop("clean", None)
        self._forget_templates(raw, indices, shape_key, topology.vertex_count)
        tracks = judge(raw, over_time=is_sequence(self._take.header), marks=marks)
        templates = TakeTemplates(self._take, topology, self._call, self._searches)
        if shape is None:
            self._find_shape(templates, raw, tracks, sides, digest(frames_key, marked))
            self._write(lambda: write_template(self._take.folder, topology, templates.rests, shape_key))
        else:
            templates.rests = read_rests(shape, sides)
        self._fit(templates, raw, indices, shape_key)
        motions = {side: self._call(partial(self._motion, templates, tracks[side], side)) for side in sides}
        correctives = self._correct(templates, motions, raw, tracks, indices)
        hands = {
            side: self._call(partial(found.result, self._options.smoothing)) for side, found in correctives.items()
        }
        fps = float(self._take.header.get("fps") or 25.0)
        self._write(lambda: write_motion(self._take.folder, motion_arrays(raw.frames, fps, hands, key)))
        self._note_status(raw, motions, indices)
        truncation = {side: found.truncation_mm for side, found in correctives.items()}
        held = {} if shape is None else {"template_for": frames_key}
        return self._finish({"hands": sides, "key": key, "template": shape_key, **held, "truncation_mm": truncation})

    def _kept_shape(self, frames_key: str, sides: list[Side]) -> dict[str, np.ndarray] | None:
        """Return the arrays of ``template.npz`` where the take keeps its shape; None where it is to be measured.

        It is kept over corrections of some frames, so that the others stay as they are. A later run finds in
        ``template_for`` that it is the shape for these frames.
        """
        about = self._take.header.get("clean") or {}
        known = about.get("version") == VERSION and about.get("template_for") == frames_key
        if about.get("template") == frames_key or not (known or self._keep_shape):
            return None
        try:
            shape = read_template(self._take.folder / TEMPLATE_FILE)
        except TakeError:
            return None
        every = [facts for record in self._take.frames() for facts in record.hands.values()]
        fitted = {facts["template"] for facts in every if "template" in facts}
        is_of_take = KEY in shape and fitted == {str(shape[KEY])} and about.get("version", VERSION) == VERSION
        has_sides = all(f"{side}_rest_vertices" in shape for side in sides)
        return shape if is_of_take and has_sides else None

    def _write(self, write: Callable[[], None]) -> None:
        """Write a file of the take, unless the take was closed while this call was waiting."""

        def guarded() -> None:
            with self._take.writing():
                write()

        self._call(guarded)

    def _is_fresh(self, key: str, shape_key: str, raw: RawTake, indices: list[int]) -> bool:
        """Return whether the take was cleaned before from the same data and settings, and the results can be read."""
        if (self._take.header.get("clean") or {}).get("key") != key:
            return False
        try:
            template = read_template(self._take.folder / TEMPLATE_FILE)
            motion = read_motion(self._take.folder / MOTION_FILE, template)
        except TakeError:
            return False  # missing or damaged: they are made again
        if (str(template.get(KEY)), str(motion[KEY])) != (shape_key, key):
            return False
        count = len(template["weights"])
        return all(self._is_fitted(index, shape_key) and _has_templates(raw, index, count) for index in indices)

    def _forget_templates(self, raw: RawTake, indices: list[int], shape_key: str, count: int) -> None:
        """Write records that name no template but the one that is in the frame's file, and no clean motion.

        Templates of another shape are about to be replaced, first in the frames' files and then in the records. A run
        that is killed between the two must not leave a record that names a template which is not there.
        """
        for index in indices:
            if not (self._is_fitted(index, shape_key) and _has_templates(raw, index, count)):
                for facts in self._take.records[index].hands.values():
                    for name in ("template", "status"):  # both are written again, always in this order
                        facts.pop(name, None)
        self._call(self._take.save)

    def _is_fitted(self, index: int, shape_key: str) -> bool:
        return all(facts.get("template") == shape_key for facts in self._take.records[index].hands.values())

    def _finish(self, found: dict[str, Any]) -> dict[str, Any]:
        """Write the entry ``clean`` of ``take.json`` and return it."""
        entry = {"version": VERSION, "settings": self._options.settings(), **found}
        self._take.header["clean"] = entry
        self._call(self._take.save)
        self._progress(self._total, self._total)
        return entry

    def _find_shape(
        self, templates: TakeTemplates, raw: RawTake, tracks: dict[Side, Track], sides: list[Side], key: str
    ) -> None:
        """Measure the hands at rest, unless they were measured before from the same data, which ``key`` stands for."""
        cache = ShapeCache(self._take.folder / CACHE_FOLDER)
        known = self._call(lambda: cache.read(key, sides))
        if known is not None:
            templates.rests = known
            return
        self._measure(templates, raw, tracks, sides)
        self._write(lambda: cache.write(key, templates.rests))

    def _measure(self, templates: TakeTemplates, raw: RawTake, tracks: dict[Side, Track], sides: list[Side]) -> None:
        """Measure bone lengths on observed frames, and the shape on those whose surface belongs to the track."""
        keypoints, samples = {}, {}
        draft = {index for index, record in self._take.records.items() if record.is_draft}
        for side in sides:
            track = tracks[side]
            believed = track.status == OBSERVED
            keypoints[side] = track.keypoints[believed if believed.any() else track.present]
            rows = np.flatnonzero(believed & track.own)
            every = [(int(raw.frames[row]), raw.keypoints[side][row]) for row in rows]
            # A surface that had to give way to the other hand does not show the hand's own shape.
            shown = [one for one in every if one[0] not in draft]
            samples[side] = [one for one in shown if not self._gave_way(one[0])] or shown or every
        templates.measure(keypoints, samples)

    def _gave_way(self, index: int) -> bool:
        """Whether the surfaces of a frame were parted, because both hands claimed the same room."""
        return bool(self._take.records[index].extra.get(CONTACT, {}).get("penetration_ml"))

    def _fit(self, templates: TakeTemplates, raw: RawTake, indices: list[int], shape_key: str) -> None:
        """Fit the template to every frame that does not have it yet."""
        waiting = [index for index in indices if not self._is_fitted(index, shape_key)]
        prepared = 0
        for index in indices:
            if not self._is_fitted(index, shape_key):
                if index == waiting[prepared]:  # each core fits a frame of its own
                    group = waiting[prepared : prepared + granted_cores()]
                    around = {k: hands for one in group for k, hands in self._around(templates, raw, one).items()}
                    self._call(partial(templates.prepare, around))
                    prepared = min(prepared + len(group), len(waiting) - 1)
                hands = self._around(templates, raw, index)
                self._call(partial(templates.fit_frame, index, hands.pop(index), hands))
                for fact in self._take.records[index].hands.values():
                    fact["template"] = shape_key
                self._take.write_record(index)  # after a stop, this frame need not be fitted again
            self._step()

    def _around(self, templates: TakeTemplates, raw: RawTake, index: int) -> dict[int, dict[Side, np.ndarray]]:
        """Return the hands of a frame and, in a sequence, of its neighbours, which steady it; by index."""
        beside = [index - 1, index, index + 1] if is_sequence(self._take.header) else [index]
        return {k: self._seen(templates, raw, k) for k in beside if k in self._take.records}

    def _seen(self, templates: TakeTemplates, raw: RawTake, index: int) -> dict[Side, np.ndarray]:
        """Return the (21, 3) keypoints of the hands of a frame that have a surface in the take."""
        record, row = self._take.records[index], raw.row(index)
        if not record.file or row is None:
            return {}
        seen = {side: raw.keypoints[side][row] for side in templates.rests if side in record.hands}
        return {side: points for side, points in seen.items() if np.isfinite(points).all()}

    def _motion(self, templates: TakeTemplates, track: Track, side: Side) -> Motion:
        """Solve the raw and the clean motion of one hand."""
        own = replace(track, keypoints=handed(track.keypoints, side))
        return solve(own, templates.rests[side], strength=self._options.smoothing, gap=self._options.gap)

    def _correct(
        self, templates: TakeTemplates, motions: dict[Side, Motion], raw: RawTake, tracks: dict[Side, Track],
        indices: list[int],
    ) -> dict[Side, TakeCorrectives]:  # fmt: skip
        """Find the corrective shapes of each hand, and their weights in every frame."""
        rows = {row: index for index in indices if (row := raw.row(index)) is not None}
        found = {}
        for side, motion in motions.items():
            track = tracks[side]
            own = {row: index for row, index in rows.items() if track.status[row] != MISSING and track.own[row]}
            found[side] = TakeCorrectives(templates, side, motion, own, self._call)
        for row in rows:
            for correctives in found.values():
                correctives.weigh(row)
            self._step()
        return found

    def _note_status(self, raw: RawTake, motions: dict[Side, Motion], indices: list[int]) -> None:
        """Write into each frame's record whether its hands were observed or doubtful."""
        for index in indices:
            row = raw.row(index)
            for side, facts in self._take.records[index].hands.items():
                if side in motions:
                    facts["status"] = STATUS_WORDS[int(motions[side].status[row])]  # type: ignore[index]

    def _step(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)


def _has_templates(raw: RawTake, index: int, count: int) -> bool:
    """Return whether every hand in the file of a frame has a template of ``count`` vertices."""
    present = [side for side in SIDES if np.isfinite(raw.keypoints[side][raw.row(index)]).all()]
    return raw.templates.get(index) == dict.fromkeys(present, count)
