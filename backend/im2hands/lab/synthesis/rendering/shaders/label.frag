flat in float label;
in float depth;
out vec2 label_and_depth;
void main() {
    label_and_depth = vec2(label, depth);
}
