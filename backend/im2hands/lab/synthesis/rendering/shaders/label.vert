in vec3 in_position;
in float in_label;
invariant gl_Position;
flat out float label;
out float depth;
void main() {
    label = in_label;
    depth = in_position.z;
    gl_Position = projection * vec4(in_position, 1.0);
}
