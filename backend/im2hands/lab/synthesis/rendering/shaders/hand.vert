in vec3 in_position;
in vec3 in_normal;
in vec2 in_uv;
invariant gl_Position;
out vec3 position;
out vec3 normal;
out vec2 uv;
out float open;
void main() {
    position = in_position;
    normal = in_normal;
    uv = in_uv;
    open = openness(in_position, in_normal);
    gl_Position = projection * vec4(in_position, 1.0);
}
