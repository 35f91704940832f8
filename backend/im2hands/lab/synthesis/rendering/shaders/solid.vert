in vec3 in_position;
in vec3 in_normal;
in vec2 in_uv;
in vec3 in_colour;
in vec4 in_material;  // gloss (negative for skin), metal, pattern (0 to 3), strength of the pattern
invariant gl_Position;
out vec3 position;
out vec3 normal;
out vec2 uv;
out vec3 albedo;
out vec4 material;
out float open;
void main() {
    position = in_position;
    normal = in_normal;
    uv = in_uv;
    albedo = in_colour;
    material = in_material;
    open = openness(in_position, in_normal);
    gl_Position = projection * vec4(in_position, 1.0);
}
