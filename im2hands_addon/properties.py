"""The settings of the sidebar, stored in the scene."""

from pathlib import Path

import bpy

from .process.options import OPTIONS, Option
from .scene import clean, lens
from .scene.placement import Timing
from .scene.sources import Source

SIDEBAR_OPTIONS = [option for option in OPTIONS.values() if option.label]
"""The options that the sidebar shows, in the order of the table of options."""

LENS_OPTIONS = {"focal": "focal_px", "fov": "fov", "file": "camera"}
"""Choice of the setting ``camera`` -> option that holds its value."""
_UNITS = {"mm": {"subtype": "DISTANCE_CAMERA", "unit": "CAMERA"}, "pixels": {"subtype": "PIXEL"}}
"""How Blender shows a unit behind the number; its angles are radians, so degrees stand in the name."""
_LENS_DEFAULTS = {"focal_px": 1200.0, "fov": 60.0}


class Im2HandsInput(bpy.types.PropertyGroup):
    """One of several selected files."""

    path: bpy.props.StringProperty(name="Path", description="One of the selected files", subtype="FILE_PATH")


class Im2HandsSettings(bpy.types.PropertyGroup):
    """The settings of a reconstruction.

    This class declares the settings that exist only in the sidebar. The properties of the backend's options are added
    to it below (:func:`option_properties`).
    """

    # No path subtype: it would add a second browse button, which can select only one file.
    source: bpy.props.StringProperty(name="Source", description="A photo, a folder of photos or a clip")
    inputs: bpy.props.CollectionProperty(
        name="Files", type=Im2HandsInput, description="Several selected files, instead of the source"
    )
    # The source for which `inputs` holds. An update callback on the source would be simpler, but with one the bpy
    # module of Blender 4.2 crashes when Python ends.
    inputs_source: bpy.props.StringProperty(
        name="Source of the Files", description="The source when the files were selected"
    )
    timed_by_source: bpy.props.BoolProperty(
        name="Timed by the Source", description="Frame range and start frame came with the strip or movie clip"
    )
    output: bpy.props.StringProperty(
        name="Take",
        description="Folder for the result. Empty: in the folder that is shown below",
        subtype="DIR_PATH",
    )
    use_range: bpy.props.BoolProperty(name="Frame Range", description="Reconstruct only some frames of the source")
    frame_start: bpy.props.IntProperty(name="Start", description="First frame of the source", default=1, min=0)
    frame_end: bpy.props.IntProperty(name="End", description="Last frame of the source", default=100, min=0)
    camera: bpy.props.EnumProperty(
        name="Camera",
        description="Source of the focal length",
        items=(
            ("assumed", "Automatic", "From the photo's metadata, else a typical field of view"),
            ("focal", "Focal Length", "In pixels of the picture"),
            ("fov", "Field of View", "Across the longer side of the picture"),
            ("file", "File", "A camera file (json)"),
            ("scene", "Scene Camera", "The lens of the scene's camera. The render size must have the picture's shape"),
            ("clip", "Movie Clip", "The lens of a movie clip's tracking camera, without its distortion"),
        ),
    )
    movie_clip: bpy.props.PointerProperty(
        name="Movie Clip", description="Clip whose tracking camera has the lens", type=bpy.types.MovieClip
    )
    use_advanced: bpy.props.BoolProperty(
        name="Advanced", description="Use the values below in place of those that Quality chooses"
    )
    refine: bpy.props.BoolProperty(
        name="Refine from the Picture",
        description="Correct the surfaces with the picture where both hands are visible. "
        "Off: use the keypoints only, several times faster",
        default=True,
    )
    surfaces: bpy.props.EnumProperty(
        name="Surfaces",
        description="What to do with the surfaces of each frame",
        items=(
            (
                "AUTO",
                "When Needed",
                "On disk until they are shown; without clean hands the first frames are shown",
            ),
            ("SHOW", "Shown", "Import and show all of them"),
            ("NONE", "Left on Disk", "Import them only when they are shown"),
        ),
    )
    set_scene: bpy.props.BoolProperty(
        name="Set Up Scene",
        description="In an untouched scene, use the take's frame range, frame rate, picture size and camera. "
        "Any other scene stays as it is",
        default=True,
    )
    use_start: bpy.props.BoolProperty(
        name="Start Frame", description="Put the take's first frame on a frame of the scene, in place of its own number"
    )
    start_frame: bpy.props.IntProperty(
        name="Start Frame", description="Scene frame of the take's first frame", default=1001
    )
    conform: bpy.props.BoolProperty(
        name="Conform to Scene",
        description="In a scene with another frame rate, put the take's keys at their true times",
    )


def option_properties() -> dict[str, object]:
    """Make the properties of the options that the sidebar shows.

    Returns
    -------
    dict
        Property name -> property. The property of a file option is called ``NAME_file``. An option that is a choice or
        a file has both properties, and its choices include "file".
    """
    found: dict[str, object] = {}
    for option in SIDEBAR_OPTIONS:
        if option.is_path:
            found[f"{option.name}_file"] = bpy.props.StringProperty(
                name=option.label if option.type == "file" else f"{option.label} File",
                description=option.text,
                subtype="FILE_PATH",
            )
        if option.type != "file":
            found[option.name] = value_property(option)
    return found


def property_of(option: Option) -> str:
    """Return the name of the property that holds an option's value.

    Parameters
    ----------
    option : Option
        An option that the sidebar shows.

    Returns
    -------
    str
        The name in :class:`Im2HandsSettings`.
    """
    return f"{option.name}_file" if option.type == "file" else option.name


def value_property(option: Option) -> object:
    """Make the property of an option that is not a file."""
    name = f"{option.label} (°)" if option.unit == "degrees" else option.label
    words = {"name": name, "description": f"{option.text}. In {option.unit}" if option.unit else option.text}
    limits = {name: value for name in ("min", "max") if (value := getattr(option, name)) is not None}
    if option.choices:
        items = [(str(value), label, text) for value, label, text in option.choices]
        if option.is_path:
            items.append(("file", "File", "Given in a file"))
        return bpy.props.EnumProperty(items=items, default=str(option.default), **words)
    if option.type == "bool":
        return bpy.props.BoolProperty(default=option.default, **words)
    if option.type == "int":
        return bpy.props.IntProperty(default=option.default, **words, **limits)
    factor = {"subtype": "FACTOR"} if (option.min, option.max) == (0, 1) else {}
    shown = _UNITS.get(option.unit, factor)
    default = _LENS_DEFAULTS.get(option.name, option.default)
    return bpy.props.FloatProperty(default=default, precision=2, **shown, **words, **limits)


Im2HandsSettings.__annotations__.update(option_properties())

CLASSES = (Im2HandsInput, Im2HandsSettings)


def several_inputs(settings: Im2HandsSettings) -> list[str]:
    """Return the files that were selected together.

    Parameters
    ----------
    settings : Im2HandsSettings
        The scene's settings.

    Returns
    -------
    list of str
        Their paths; empty when another source was entered since.
    """
    return [one.path for one in settings.inputs] if settings.inputs_source == settings.source else []


def inputs_of(settings: Im2HandsSettings) -> list[str]:
    """Return the inputs of the reconstruction.

    Parameters
    ----------
    settings : Im2HandsSettings
        The scene's settings.

    Returns
    -------
    list of str
        Absolute paths; empty without a source.
    """
    paths = several_inputs(settings) or ([settings.source] if settings.source else [])
    return [bpy.path.abspath(path) for path in paths]


def set_source(settings: Im2HandsSettings, source: Source) -> None:
    """Choose a source, and the frames and the start that come with it.

    Parameters
    ----------
    settings : Im2HandsSettings
        The scene's settings. The person's own frame range and start frame stay, unless the
        source brings one; those of the source before it go.
    source : scene.sources.Source
        The source.
    """
    first = Path(source.paths[0])
    settings.source = str(first.parent) if len(source.paths) > 1 else str(first)
    settings.inputs_source = settings.source
    settings.inputs.clear()
    if len(source.paths) > 1:
        for path in source.paths:
            settings.inputs.add().path = path
    brings = source.frames is not None or source.start is not None
    if brings or settings.timed_by_source:
        settings.use_range, settings.use_start = source.frames is not None, source.start is not None
    settings.timed_by_source = brings
    if source.frames is not None:
        settings.frame_start, settings.frame_end = source.frames
    if source.start is not None:
        settings.start_frame = source.start


def timing_of(settings: Im2HandsSettings) -> Timing:
    """Where the settings place a new take in the time of the scene."""
    return Timing(settings.start_frame if settings.use_start else None, settings.conform)


def options_of(settings: Im2HandsSettings) -> dict[str, object]:
    """Return the options of the reconstruction.

    Parameters
    ----------
    settings : Im2HandsSettings
        The scene's settings.

    Returns
    -------
    dict
        Keyword arguments of ``api.reconstruct``.

    Raises
    ------
    InputError
        The lens that is chosen cannot be used.
    """
    given = [one for one in SIDEBAR_OPTIONS if settings.use_advanced or not one.advanced]
    options = {option.name: _value(settings, option) for option in given if option.exclusive != "lens"}
    if settings.camera in ("scene", "clip"):
        found = lens.of_scene(settings.id_data) if settings.camera == "scene" else lens.of_clip(settings.movie_clip)
        options["camera"] = str(lens.write_file(found))
    elif settings.camera != "assumed":
        option = OPTIONS[LENS_OPTIONS[settings.camera]]
        options[option.name] = _value(settings, option)
    if settings.use_advanced and not settings.refine and settings.quality != "draft":
        options["stage"] = "keypoints"
    if settings.use_range:
        options["frames"] = f"{settings.frame_start}-{max(settings.frame_start, settings.frame_end)}"
    return options


def _value(settings: Im2HandsSettings, option: Option) -> object:
    """The value of one option in the type that the backend expects."""
    if option.type == "file" or (option.is_path and getattr(settings, option.name) == "file"):
        return bpy.path.abspath(getattr(settings, f"{option.name}_file"))
    value = getattr(settings, option.name)
    # Blender stores floats in single precision: 0.1 reads back as 0.10000000149.
    return round(value, 4) if isinstance(value, float) else option.python_type(value)


def register() -> None:
    """Register the settings of the scene, and the property "Raw to Clean" of a take's collection."""
    for one in CLASSES:
        bpy.utils.register_class(one)
    bpy.types.Scene.im2hands = bpy.props.PointerProperty(type=Im2HandsSettings)
    # The value is not stored: the property reads and writes the influence of the clean action.
    bpy.types.Collection.im2hands_smoothing = bpy.props.FloatProperty(
        name="Raw to Clean",
        description="Blend between the measured motion (0) and the clean motion (1)",
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        options=set(),
        get=clean.smoothing,
        set=clean.set_smoothing,
    )


def unregister() -> None:
    """Unregister the settings."""
    del bpy.types.Collection.im2hands_smoothing
    del bpy.types.Scene.im2hands
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
