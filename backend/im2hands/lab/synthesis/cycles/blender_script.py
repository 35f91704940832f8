"""Script that runs in Blender or in a Python with bpy: renders the scenes that it gets on stdin, until stdin ends.

A request is a line ``{"scene": FILE.npz, "folder": FOLDER}``. An answer is a line that starts with the word IM2HANDS:
``{"ready": VERSION}`` once at the start, then ``{"done": true}`` or ``{"error": TEXT}`` for each request. The script
writes two files into the folder: ``light.exr`` (scene-linear RGBA) and ``facts.exr`` (object numbers and depth, from
one sample in the middle of each pixel). ``cycles.description`` writes the scene files. Blender's world frame is the
camera frame (x right, y down, z forward); the camera looks along +z.
"""

import json
import sys
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector

SENSOR_WIDTH_MM = 36.0
SUBSURFACE_M = 0.0014
SUBSURFACE_RADIUS = (1.0, 0.4, 0.25)  # red light scatters farthest in skin
BOUNCES = 4


def say(message):
    """Write one answer; Blender itself also writes to stdout."""
    sys.stdout.write("IM2HANDS " + json.dumps(message) + "\n")
    sys.stdout.flush()


def new_image(name, pixels):
    """Make a non-colour image of values (H, W, 3 or 4), row 0 at the top."""
    height, width = pixels.shape[:2]
    full = np.ones((height, width, 4), np.float32)
    full[..., : pixels.shape[2]] = pixels
    image = bpy.data.images.new(name, width, height, alpha=True, float_buffer=True)
    image.colorspace_settings.name = "Non-Color"
    image.alpha_mode = "CHANNEL_PACKED"
    image.pixels.foreach_set(np.ascontiguousarray(full[::-1]).ravel())
    image.update()
    return image


def new_mesh(name, points, normals, faces, uv):
    """Make a smooth mesh.

    Parameters
    ----------
    name : str
        Name of the mesh.
    points : (N, 3) float
        Vertices, metres, camera frame.
    normals : (N, 3) float
        Vertex normals.
    faces : (F, 3) int
        Triangles.
    uv : (N, 2) float
        Texture coordinates, v down.

    Returns
    -------
    bpy.types.Mesh
        The mesh.
    """
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(points))
    mesh.vertices.foreach_set("co", np.ascontiguousarray(points, np.float32).ravel())
    mesh.loops.add(3 * len(faces))
    mesh.loops.foreach_set("vertex_index", np.ascontiguousarray(faces, np.int32).ravel())
    mesh.polygons.add(len(faces))
    mesh.polygons.foreach_set("loop_start", np.arange(0, 3 * len(faces), 3, dtype=np.int32))
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    layer = mesh.uv_layers.new(name="uv")
    layer.data.foreach_set("uv", (uv * (1, -1) + (0, 1))[faces.ravel()].astype(np.float32).ravel())
    mesh.update(calc_edges=True)
    mesh.normals_split_custom_set_from_vertices(np.asarray(normals, np.float32).tolist())
    return mesh


def add_attribute(mesh, name, values):
    """Add four numbers (N, 4) a vertex to a mesh, for its shader."""
    attribute = mesh.attributes.new(name, "FLOAT_COLOR", "POINT")
    attribute.data.foreach_set("color", np.ascontiguousarray(values, np.float32).ravel())


class Nodes:
    """Short notation for shader graphs.

    Parameters
    ----------
    tree : bpy.types.NodeTree
        The graph; it is emptied.
    """

    def __init__(self, tree):
        self.tree = tree
        tree.nodes.clear()

    def new(self, kind, inputs=None, **settings):
        """Add a node.

        Parameters
        ----------
        kind : str
            Blender's name of the node type.
        inputs : dict or None
            Values or sockets for the node's inputs, by name or number.
        **settings
            Properties of the node.

        Returns
        -------
        bpy.types.ShaderNode
            The node.
        """
        node = self.tree.nodes.new(kind)
        for name, value in settings.items():
            setattr(node, name, value)
        for name, value in (inputs or {}).items():
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, node.inputs[name])
            else:
                node.inputs[name].default_value = value
        return node

    def math(self, operation, *values):
        """Return the result of a mathematical operation on numbers or sockets."""
        return self.new("ShaderNodeMath", dict(enumerate(values)), operation=operation).outputs[0]

    def scaled(self, colour, factor):
        """Return a colour times a number."""
        return self.new("ShaderNodeVectorMath", {0: colour, "Scale": factor}, operation="SCALE").outputs[0]

    def split(self, colour):
        """Return the red, green and blue of a colour."""
        return self.new("ShaderNodeSeparateColor", {0: colour}).outputs


def new_material(name):
    """Make a material; returns it and its empty graph."""
    material = bpy.data.materials.new(name)
    if material.node_tree is None:
        material.use_nodes = True
    return material, Nodes(material.node_tree)


def finish(nodes, shader):
    """Connect a shader to the material's output."""
    nodes.new("ShaderNodeOutputMaterial", {"Surface": shader.outputs[0]})


def skin_material(scene):
    """Make the skin material from the rasteriser's maps: colour, roughness, height, reflectance, subsurface."""
    material, nodes = new_material("skin")
    colour = nodes.new("ShaderNodeTexImage", image=new_image("skin colour", scene["skin_colour"]))
    surface = nodes.new("ShaderNodeTexImage", image=new_image("skin surface", scene["skin_surface"]))
    roughness, height, reflectance = nodes.split(surface.outputs["Color"])[:3]
    bump = nodes.new("ShaderNodeBump", {"Strength": 1.0, "Distance": float(scene["bump"]), "Height": height})
    finish(nodes, nodes.new("ShaderNodeBsdfPrincipled", {
        "Base Color": colour.outputs["Color"], "Roughness": roughness, "Specular IOR Level": reflectance,
        "Normal": bump.outputs[0], "Subsurface Weight": surface.outputs["Alpha"],
        "Subsurface Radius": SUBSURFACE_RADIUS, "Subsurface Scale": SUBSURFACE_M,
    }))  # fmt: skip
    return material


def solid_material(scene):
    """Make the material of solids from vertex attributes: colour with a pattern, roughness, metal and reflectance."""
    material, nodes = new_material("solid")
    colour = nodes.new("ShaderNodeAttribute", attribute_name="colour")
    weights = nodes.new("ShaderNodeAttribute", attribute_name="pattern")
    pattern = nodes.new("ShaderNodeTexImage", image=new_image("patterns", scene["patterns"]))
    factor = 1.0
    values = [*nodes.split(pattern.outputs["Color"])[:3], pattern.outputs["Alpha"]]
    strengths = [*nodes.split(weights.outputs["Color"])[:3], weights.outputs["Alpha"]]
    for value, strength in zip(values, strengths, strict=True):
        factor = nodes.math("ADD", factor, nodes.math("MULTIPLY", nodes.math("SUBTRACT", value, 0.5), strength))
    surface = nodes.split(nodes.new("ShaderNodeAttribute", attribute_name="surface").outputs["Color"])
    finish(nodes, nodes.new("ShaderNodeBsdfPrincipled", {
        "Base Color": nodes.scaled(colour.outputs["Color"], nodes.math("MAXIMUM", factor, 0.05)),
        "Roughness": surface[0], "Metallic": surface[1], "Specular IOR Level": surface[2],
    }))  # fmt: skip
    return material


def plane_material(scene):
    """Make the material of a wall or table: a picture repeated in mirror images."""
    material, nodes = new_material("plane")
    image = new_image("plane", scene["plane_picture"])
    picture = nodes.new("ShaderNodeTexImage", image=image, extension="MIRROR")
    finish(nodes, nodes.new("ShaderNodeBsdfPrincipled", {
        "Base Color": picture.outputs["Color"], "Roughness": 0.5, "Specular IOR Level": float(scene["plane_gloss"]),
    }))  # fmt: skip
    return material


class Stage:
    """The Blender scene, rebuilt for each picture."""

    def __init__(self):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.scene = scene = bpy.context.scene
        scene.render.engine = "CYCLES"
        scene.render.film_transparent = True
        scene.render.use_file_extension = False
        cycles = scene.cycles
        cycles.device = "CPU"
        cycles.use_adaptive_sampling = False
        cycles.max_bounces = BOUNCES
        cycles.sample_clamp_indirect = 4.0
        cycles.caustics_reflective = cycles.caustics_refractive = False
        self.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        self.camera.matrix_world = Matrix.Diagonal((1.0, -1.0, -1.0, 1.0))
        self.camera.data.sensor_fit = "HORIZONTAL"
        self.camera.data.sensor_width = SENSOR_WIDTH_MM
        self.camera.data.clip_start, self.camera.data.clip_end = 0.03, 60.0  # the rasteriser's, metres
        scene.collection.objects.link(self.camera)
        scene.camera = self.camera

    def clear(self):
        """Remove everything of the last picture but the camera."""
        for kind in (bpy.data.objects, bpy.data.meshes, bpy.data.lights, bpy.data.materials, bpy.data.images,
                     bpy.data.worlds):  # fmt: skip
            for one in list(kind):
                if one != self.camera:
                    kind.remove(one)

    def add(self, mesh, material, number):
        """Add an object; ``number`` is its value in the pass of object numbers."""
        mesh.materials.append(material)
        made = bpy.data.objects.new(mesh.name, mesh)
        made.pass_index = number
        self.scene.collection.objects.link(made)
        return made

    def build(self, scene):
        """Build a scene: hands, solids, wall, lamps, environment and camera."""
        self.clear()
        skin, solid = skin_material(scene), solid_material(scene)
        for k, label in enumerate(scene["hand_labels"]):
            rows = scene["hand_vertices"][k]
            faces = scene["hand_faces"] if label == 2 else scene["hand_faces"][:, ::-1]
            self.add(new_mesh(f"hand {label}", rows[:, :3], rows[:, 3:6], faces, scene["hand_uv"]), skin, int(label))
        for label in np.unique(scene["solid_labels"]):
            faces = scene["solid_faces"][scene["solid_labels"] == label]
            used, faces = np.unique(faces, return_inverse=True)
            rows = scene["solid_vertices"][used]
            mesh = new_mesh(f"solids {label}", rows[:, :3], rows[:, 3:6], faces.reshape(-1, 3), rows[:, 6:8])
            add_attribute(mesh, "colour", np.concatenate([rows[:, 8:11], np.ones((len(rows), 1))], axis=1))
            add_attribute(mesh, "surface", scene["solid_surface"][used])
            add_attribute(mesh, "pattern", scene["solid_pattern"][used])
            self.add(mesh, solid, int(label))
        if len(scene["plane_corners"]):
            corners, uv = scene["plane_corners"], scene["plane_uv"]
            faces = np.array([[0, 1, 2], [0, 2, 3]])
            mesh = new_mesh("plane", corners, np.tile(scene["plane_normal"], (4, 1)), faces, uv)
            plane = self.add(mesh, plane_material(scene), 0)
            # The wall casts no shadow: a lamp behind it lights the hands, as in the rasteriser.
            plane.visible_shadow = False
        for k, angle in enumerate(scene["light_angles"]):
            self.add_light(scene["light_directions"][k], scene["light_colours"][k], float(angle))
        self.surround(scene["panorama"])
        self.look_through(scene["camera"])

    def add_light(self, direction, colour, angle):
        """Add a distant lamp.

        Parameters
        ----------
        direction : (3,) float
            Direction towards the lamp.
        colour : (3,) float
            Irradiance divided by pi.
        angle : float
            Angular diameter, radians.
        """
        data = bpy.data.lights.new("light", "SUN")
        strength = float(max(colour.max(), 1e-6))
        data.energy, data.color, data.angle = np.pi * strength, (colour / strength).tolist(), angle
        made = bpy.data.objects.new("light", data)
        made.matrix_world = Vector(direction.tolist()).to_track_quat("Z", "Y").to_matrix().to_4x4()
        self.scene.collection.objects.link(made)

    def surround(self, panorama):
        """Light the scene by a panorama (H, W, 3) in Blender's own axes."""
        world = bpy.data.worlds.new("world")
        if world.node_tree is None:
            world.use_nodes = True
        nodes = Nodes(world.node_tree)
        sky = nodes.new("ShaderNodeTexEnvironment", image=new_image("panorama", panorama))
        shader = nodes.new("ShaderNodeBackground", {"Color": sky.outputs[0], "Strength": 1.0})
        nodes.new("ShaderNodeOutputWorld", {"Surface": shader.outputs[0]})
        self.scene.world = world

    def look_through(self, camera):
        """Set lens and picture size.

        Parameters
        ----------
        camera : sequence of 6 float
            fx, fy, cx, cy, width and height in pixels; the centre of the first pixel is (0, 0).
        """
        fx, fy, cx, cy, width, height = (float(v) for v in camera)
        render, data = self.scene.render, self.camera.data
        render.resolution_x, render.resolution_y, render.resolution_percentage = int(width), int(height), 100
        render.pixel_aspect_x, render.pixel_aspect_y = (1.0, fx / fy) if fx > fy else (fy / fx, 1.0)
        data.lens = fx * SENSOR_WIDTH_MM / width
        data.shift_x = (0.5 * (width - 1) - cx) / width
        data.shift_y = (cy - 0.5 * (height - 1)) * (fx / fy) / width

    def write(self, path, several):
        """Render to a file.

        Parameters
        ----------
        path : Path
            The file.
        several : bool
            Whether to write all passes as layers, or only the colours.
        """
        settings = self.scene.render.image_settings
        kind = "OPEN_EXR_MULTILAYER" if several else "OPEN_EXR"
        if hasattr(settings, "media_type"):  # Blender 5
            settings.media_type = "MULTI_LAYER_IMAGE" if several else "IMAGE"
            # Blender 5.0 cannot write files of several parts where pixels are not square.
            settings.use_exr_interleave = True
        settings.file_format, settings.color_depth, settings.exr_codec = kind, "32", "ZIP"
        if not several:
            settings.color_mode = "RGBA"
        self.scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)

    def render(self, scene, folder):
        """Render both files of a scene.

        Parameters
        ----------
        scene : dict of str to ndarray
            Arrays of ``description.describe``.
        folder : Path
            Folder of ``light.exr`` and ``facts.exr``.
        """
        self.build(scene)
        cycles, layer = self.scene.cycles, self.scene.view_layers[0]
        samples, seed, threads = (int(v) for v in scene["quality"])
        self.scene.render.threads_mode = "FIXED" if threads else "AUTO"
        if threads:
            self.scene.render.threads = threads
        cycles.samples, cycles.seed, cycles.use_denoising, cycles.filter_width = samples, seed, True, 1.2
        cycles.max_bounces = BOUNCES
        layer.use_pass_object_index = layer.use_pass_z = False
        self.write(folder / "light.exr", False)
        # Object numbers and depth come from a pixel's first sample; the narrow filter puts it in the middle.
        cycles.samples, cycles.use_denoising, cycles.filter_width, cycles.max_bounces = 1, False, 0.01, 0
        layer.use_pass_object_index = layer.use_pass_z = True
        self.write(folder / "facts.exr", True)


def main():
    """Answer requests until stdin ends."""
    stage = Stage()
    say({"ready": bpy.app.version_string})
    for line in sys.stdin:
        try:
            request = json.loads(line)
            with np.load(request["scene"], allow_pickle=False) as data:
                scene = {name: data[name] for name in data.files}
            stage.render(scene, Path(request["folder"]))
            say({"done": True})
        except Exception as error:  # the other process reports it and stops
            say({"error": f"{type(error).__name__}: {error}"})


main()
