"""What a person sets in the sidebar, kept in the scene."""

import bpy

from .process.options import OPTIONS, Option
from .scene import clean

SIDEBAR_OPTIONS = [option for option in OPTIONS.values() if option.label]
"""The options that the sidebar shows, in the table's order."""

LENS_OPTIONS = {"focal": "focal_px", "fov": "fov", "file": "camera"}
"""The option behind each choice of the setting ``camera``."""
_LENS_DEFAULTS = {"focal_px": 1200.0, "fov": 60.0}


class Im2HandsInput(bpy.types.PropertyGroup):
    """One of several chosen files."""

    path: bpy.props.StringProperty(name="Path", subtype="FILE_PATH")


class Im2HandsSettings(bpy.types.PropertyGroup):
    """Everything the Reconstruct button needs: the sidebar's own settings, and the options of the table.

    The properties of the options are added below (:func:`option_properties`).
    """

    # No path subtype: its browse button would stand beside the one that can choose several files.
    source: bpy.props.StringProperty(name="Source", description="A photo, a folder of photos or a clip")
    inputs: bpy.props.CollectionProperty(type=Im2HandsInput, description="Several chosen files, instead of the source")
    # Rather than an update callback on the source: with one, the bpy module of Blender 4.2 crashes when Python ends.
    inputs_source: bpy.props.StringProperty(description="The source with which the several files were chosen")
    output: bpy.props.StringProperty(
        name="Take",
        description="Folder for the result. Empty: a folder beside the .blend, or in the add-on's own folder",
        subtype="DIR_PATH",
    )
    use_range: bpy.props.BoolProperty(name="Frame Range", description="Only some frames of the source")
    frame_start: bpy.props.IntProperty(name="Start", description="First frame of the source", default=1, min=0)
    frame_end: bpy.props.IntProperty(name="End", description="Last frame of the source", default=100, min=0)
    camera: bpy.props.EnumProperty(
        name="Camera",
        description="The focal length of the picture's camera",
        items=(
            ("assumed", "Automatic", "From the photo's own data, else a usual field of view"),
            ("focal", "Focal Length", "In pixels of the picture"),
            ("fov", "Field of View", "Across the longer side of the picture"),
            ("file", "File", "A camera file (json)"),
        ),
    )
    refine: bpy.props.BoolProperty(
        name="Refine from the Picture",
        description="Let the picture and the other hand correct the surface, where both hands are seen. Off: it is "
        "made from the keypoints alone, several times faster",
        default=True,
    )
    surfaces: bpy.props.EnumProperty(
        name="Surfaces",
        description="The implicit surfaces, frame by frame, of a take that has clean hands",
        items=(
            ("AUTO", "Hidden", "Brought in hidden, in a long take left on disk until they are shown"),
            ("SHOW", "Shown", "Brought in and shown beside the clean hands"),
            ("NONE", "Left on Disk", "Not brought in until they are shown"),
        ),
    )
    set_scene: bpy.props.BoolProperty(
        name="Set Up Scene",
        description="Give the scene the take's frame range, frame rate, picture size and camera",
        default=True,
    )


def option_properties() -> dict[str, object]:
    """The properties of the options that the sidebar shows, by name.

    A file has the property ``NAME_file``. A choice that may also be a file has one more choice, "file".
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
            found[option.name] = _property(option)
    return found


def property_of(option: Option) -> str:
    """The name of the property that holds an option's value."""
    return f"{option.name}_file" if option.type == "file" else option.name


def _property(option: Option) -> object:
    """The property of an option that is no file."""
    words = {"name": option.label, "description": f"{option.text}. In {option.unit}" if option.unit else option.text}
    limits = {name: value for name in ("min", "max") if (value := getattr(option, name)) is not None}
    if option.type in ("choice", "choice_or_file"):
        items = [(str(value), label, text) for value, label, text in option.choices]
        if option.is_path:
            items.append(("file", "File", "Given in a file"))
        return bpy.props.EnumProperty(items=items, default=str(option.default), **words)
    if option.type == "bool":
        return bpy.props.BoolProperty(default=option.default, **words)
    if option.type == "int":
        return bpy.props.IntProperty(default=option.default, **words, **limits)
    subtype = "FACTOR" if (option.min, option.max) == (0, 1) else "NONE"
    default = _LENS_DEFAULTS.get(option.name, option.default)
    return bpy.props.FloatProperty(default=default, precision=2, subtype=subtype, **words, **limits)


Im2HandsSettings.__annotations__.update(option_properties())

CLASSES = (Im2HandsInput, Im2HandsSettings)


def several_inputs(settings: Im2HandsSettings) -> list[str]:
    """The files that were chosen together; none once another source was typed."""
    return [one.path for one in settings.inputs] if settings.inputs_source == settings.source else []


def inputs_of(settings: Im2HandsSettings) -> list[str]:
    """The chosen paths as absolute paths."""
    paths = several_inputs(settings) or ([settings.source] if settings.source else [])
    return [bpy.path.abspath(path) for path in paths]


def options_of(settings: Im2HandsSettings) -> dict[str, object]:
    """The settings as keyword arguments of :func:`.api.reconstruct`."""
    options = {option.name: _value(settings, option) for option in SIDEBAR_OPTIONS if option.exclusive != "lens"}
    if settings.camera != "assumed":
        option = OPTIONS[LENS_OPTIONS[settings.camera]]
        options[option.name] = _value(settings, option)
    if not settings.refine:
        options["stage"] = "keypoints"
    if settings.use_range:
        options["frames"] = f"{settings.frame_start}-{max(settings.frame_start, settings.frame_end)}"
    return options


def _value(settings: Im2HandsSettings, option: Option) -> object:
    """The value of one option, as the backend wants it."""
    if option.type == "file" or (option.is_path and getattr(settings, option.name) == "file"):
        return bpy.path.abspath(getattr(settings, f"{option.name}_file"))
    value = getattr(settings, option.name)
    # Blender keeps floats in single precision.
    return round(value, 4) if isinstance(value, float) else option.python_type(value)


def register() -> None:
    """Add the settings to the scene, and the strength of the smoothing to the takes' collections."""
    for one in CLASSES:
        bpy.utils.register_class(one)
    bpy.types.Scene.im2hands = bpy.props.PointerProperty(type=Im2HandsSettings)
    # Nothing is stored twice: it reads and writes the influence of the layers themselves.
    bpy.types.Collection.im2hands_smoothing = bpy.props.FloatProperty(
        name="Raw to Clean",
        description="Blends from the motion as it was measured (0) to the clean motion (1)",
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        options=set(),
        get=clean.smoothing,
        set=clean.set_smoothing,
    )


def unregister() -> None:
    """Take them away."""
    del bpy.types.Collection.im2hands_smoothing
    del bpy.types.Scene.im2hands
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
