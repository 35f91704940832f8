"""What a person sets in the sidebar, kept in the scene."""

import bpy

from .scene import clean


class Im2HandsInput(bpy.types.PropertyGroup):
    """One of several chosen files."""

    path: bpy.props.StringProperty(name="Path", subtype="FILE_PATH")


class Im2HandsSettings(bpy.types.PropertyGroup):
    """Everything the Reconstruct button needs; the defaults are the backend's."""

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
    step: bpy.props.IntProperty(name="Step", description="Take every n-th frame", default=1, min=1)
    keypoints: bpy.props.EnumProperty(
        name="Keypoints",
        description="Where the 21 keypoints of each hand come from",
        items=(
            ("auto", "Automatic", "The best that is installed"),
            ("mediapipe", "MediaPipe", "Found in the picture by MediaPipe"),
            ("network", "Two-Hand Network", "Found by the network that sees both hands, also a hidden one"),
            ("file", "File", "Given in a file (json or npz)"),
        ),
    )
    keypoints_file: bpy.props.StringProperty(
        name="Keypoints File", description="Keypoints as json or npz", subtype="FILE_PATH"
    )
    crop_search: bpy.props.BoolProperty(
        name="Search Touching Hands",
        description="Look more closely where fewer than two hands were found. Slower",
        default=True,
    )
    mirrored: bpy.props.BoolProperty(
        name="Mirrored",
        description="The pictures are mirror images, as many selfies are: left and right change places",
        default=False,
    )
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
    focal_px: bpy.props.FloatProperty(
        name="Focal Length", description="Pixels of the picture", default=1200.0, min=1.0, soft_max=10000.0
    )
    fov: bpy.props.FloatProperty(
        name="Field of View",
        description="Across the longer side of the picture, degrees",
        default=60.0,
        min=1.0,
        max=170.0,
    )
    camera_file: bpy.props.StringProperty(
        name="Camera File", description="Camera as json: fx, fy, cx, cy, width, height", subtype="FILE_PATH"
    )
    voxel_mm: bpy.props.FloatProperty(
        name="Voxel Size",
        description="Grid of the surface in millimetres. Smaller: finer and slower",
        default=1.7,
        min=0.3,
        max=10.0,
        precision=2,
    )
    refine: bpy.props.BoolProperty(
        name="Refine from the Picture",
        description="Let the picture and the other hand correct the surface, where both hands are seen. Off: it is "
        "made from the keypoints alone, several times faster",
        default=True,
    )
    clean: bpy.props.BoolProperty(
        name="Rigged Hands",
        description="Make meshes of fixed topology with a rig and clean motion once all frames are done",
        default=True,
    )
    smoothing: bpy.props.FloatProperty(
        name="Smoothing",
        description="Of the clean motion. What was measured stays in the take and in the file",
        default=0.5,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    gap: bpy.props.IntProperty(
        name="Fill Gaps",
        description="Longest gap, in frames, over which a hand that was not seen is made up",
        default=12,
        min=0,
    )
    template_density: bpy.props.EnumProperty(
        name="Mesh",
        description="Vertices of each rigged hand",
        items=(("0", "Light", "About 1 700"), ("1", "Medium", "About 6 600"), ("2", "Fine", "About 26 000")),
        default="1",
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
    options: dict[str, object] = {
        "step": settings.step,
        "keypoints": settings.keypoints,
        "crop_search": settings.crop_search,
        "voxel_mm": round(settings.voxel_mm, 4),
        "clean": settings.clean,
        "smoothing": round(settings.smoothing, 4),
        "gap": settings.gap,
        "template_density": int(settings.template_density),
    }
    if settings.mirrored:
        options["mirrored"] = True
    if not settings.refine:
        options["stage"] = "keypoints"
    if settings.use_range:
        options["frames"] = f"{settings.frame_start}-{max(settings.frame_start, settings.frame_end)}"
    if settings.keypoints == "file":
        options["keypoints"] = bpy.path.abspath(settings.keypoints_file)
    if settings.camera == "focal":
        options["focal_px"] = settings.focal_px
    elif settings.camera == "fov":
        options["fov"] = settings.fov
    elif settings.camera == "file":
        options["camera"] = bpy.path.abspath(settings.camera_file)
    return options


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
