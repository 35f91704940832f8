"""The settings of a bake onto a character, stored in the scene, and the table of bone names."""

import bpy

from .bone_maps import BoneMap, bundled_maps, exact_map
from .take.reader import SIDES

TABLE = "TABLE"
"""Choice of the bone names: those of the table."""
MAP_ITEMS = [
    ("AUTO", "Automatic", "The map that fits best"),
    *((one.identifier, one.name, one.note) for one in bundled_maps()),
    (TABLE, "Table", "The names in the table of the panel Onto a Character"),
]
"""Values of a property for the bone names."""
INTO_ITEMS = [
    ("ACTION", "Its Action", "Replace the keys of hands and fingers in the action of the character"),
    ("NEW", "New Action", "Write into a copy of the action of the character; the old one stays in the file"),
    ("LAYER", "New Layer", "Make the action of the character an NLA strip, and write into an action above it"),
]
"""Values of a property for the action that is written into."""
_FINGERS = ("thumb", "f_index", "f_middle", "f_ring", "f_pinky")
BONES = (
    "hand",
    *(f"{finger}.{level:02d}" for finger in _FINGERS for level in (1, 2, 3)),
    *(f"palm.{number:02d}" for number in range(1, 5)),
)
"""Our bones in the table."""


class Im2HandsBoneRow(bpy.types.PropertyGroup):
    """A row of the table: one of our bones, and the bones of the character that follow it."""

    name: bpy.props.StringProperty(name="Bone", description="Bone of the take's rig, without side")
    left: bpy.props.StringProperty(name="Left", description="Bone of the character's left hand; empty: none")
    right: bpy.props.StringProperty(name="Right", description="Bone of the character's right hand; empty: none")


class Im2HandsBakeSettings(bpy.types.PropertyGroup):
    """How the hands of a take are baked onto a character."""

    # No poll function: with one the bpy module of Blender 4.2 crashes when Python ends. A menu offers the armatures.
    target: bpy.props.PointerProperty(
        name="Character", description="Armature that the hands are baked onto", type=bpy.types.Object
    )
    rows: bpy.props.CollectionProperty(type=Im2HandsBoneRow, description="The table of bone names")
    map_name: bpy.props.StringProperty(name="Name", description="Name under which the table is saved", default="My Rig")


def bake_properties() -> dict[str, object]:
    """Make the properties that the settings of the scene and the operator have in common."""
    degrees = "Leave out keys where the rotation of a bone stays within this many degrees. 0 keys every frame"
    return {
        "bone_map": bpy.props.EnumProperty(
            name="Names", description="Which bones of the character are hands and fingers", items=MAP_ITEMS
        ),
        "wrist": bpy.props.BoolProperty(
            name="Turn Wrists",
            description="Also rotate the hands, and place them where an arm is in IK; otherwise only the fingers move",
            default=True,
        ),
        "use_range": bpy.props.BoolProperty(
            name="Frame Range", description="Bake some frames; off: those of the scene"
        ),
        "first": bpy.props.IntProperty(name="Start", description="First scene frame of the motion", default=1),
        "last": bpy.props.IntProperty(name="End", description="Last scene frame of the motion", default=100),
        "offset": bpy.props.IntProperty(
            name="Offset", description="How many frames later the character moves than the take"
        ),
        "into": bpy.props.EnumProperty(name="Into", description="Where the keys are written", items=INTO_ITEMS),
        "reduce_degrees": bpy.props.FloatProperty(
            name="Reduce Keys (°)", description=degrees, default=0.0, min=0.0, max=10.0, precision=2
        ),
    }


SHARED = tuple(bake_properties())
"""Names of these properties."""
Im2HandsBakeSettings.__annotations__.update(bake_properties())


def options_of(settings: object, scene: bpy.types.Scene) -> dict[str, object]:
    """Return what ``api.bake_to_rig`` is called with.

    Parameters
    ----------
    settings : object
        What has the properties: the settings of the scene, or the operator.
    scene : bpy.types.Scene
        The scene, which has the table.

    Returns
    -------
    dict
        Keyword arguments.
    """
    return {
        "bone_map": table_map(scene.im2hands_bake) if settings.bone_map == TABLE else settings.bone_map,
        "wrist": settings.wrist,
        "frames": (settings.first, settings.last) if settings.use_range else None,
        "offset": settings.offset,
        "into": settings.into,
        "reduce_degrees": settings.reduce_degrees,
        "scene": scene,
    }


def table_map(settings: Im2HandsBakeSettings) -> BoneMap:
    """The bone map that the table holds."""
    names = {side: {row.name: getattr(row, side) for row in settings.rows if getattr(row, side)} for side in SIDES}
    return exact_map(settings.map_name or "Table", names)


def fill_table(settings: Im2HandsBakeSettings, found: dict[str, dict[str, str]]) -> None:
    """Fill the table: side -> our bone -> bone of the character."""
    settings.rows.clear()
    for bone in BONES:
        row = settings.rows.add()
        row.name = bone
        for side in SIDES:
            setattr(row, side, found.get(side, {}).get(bone, ""))


CLASSES = (Im2HandsBoneRow, Im2HandsBakeSettings)


def register() -> None:
    """Register the settings of the scene."""
    for one in CLASSES:
        bpy.utils.register_class(one)
    bpy.types.Scene.im2hands_bake = bpy.props.PointerProperty(type=Im2HandsBakeSettings)


def unregister() -> None:
    """Unregister the settings."""
    del bpy.types.Scene.im2hands_bake
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
