// Ambient occlusion of a point by the spheres that approximate both hands: 1 is open, 0 is occluded.
float openness(vec3 position, vec3 normal) {
    float open = 1.0;
    int count = int(lens.w);
    for (int k = 0; k < count; k++) {
        vec3 to = spheres[k].xyz - position;
        float squared = dot(to, to), radius2 = spheres[k].w * spheres[k].w;
        float facing = dot(normal, to) * inversesqrt(squared);
        open *= 1.0 - 0.85 * max(facing, 0.0) * min(radius2 / squared, 1.0);
    }
    return mix(1.0, open, shadow_setup.w);
}
