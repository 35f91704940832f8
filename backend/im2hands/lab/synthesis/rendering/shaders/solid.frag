in vec3 position;
in vec3 normal;
in vec2 uv;
in vec3 albedo;
in vec4 material;
in float open;
uniform sampler2D pattern_map;
out vec4 colour;
void main() {
    vec3 view = normalize(-position);
    vec3 n = normalize(normal);
    if (dot(n, view) < 0.0) n = -n;
    vec4 patterns = texture(pattern_map, uv);
    float pattern = patterns[int(clamp(material.z + 0.5, 0.0, 3.0))] - 0.5;
    bool skin = material.x < 0.0;
    float gloss = skin ? 0.35 : material.x, metal = material.y;
    vec3 base = albedo * max(1.0 + 2.0 * material.w * pattern, 0.05);
    float wrap = skin ? 0.25 * skin_surface.z : 0.0;
    float roughness = clamp(1.0 - gloss, 0.12, 0.95);
    float lit = sunlight(position, n);
    vec3 diffuse = ambient(n) * open;
    vec3 f0 = mix(vec3(0.04 * gloss), base, metal);
    vec3 specular = vec3(0.0);
    int lights = int(lens.z);
    for (int k = 0; k < lights; k++) {
        vec3 l = light_direction[k].xyz;
        float share = k == 0 ? lit : mix(1.0, open, 0.7);
        float cosine = dot(n, l);
        diffuse += light_colour[k].rgb * max((cosine + wrap) / (1.0 + wrap), 0.0) * share;
        specular += light_colour[k].rgb * share * max(cosine, 0.0) * highlight(n, view, l, roughness) * f0;
    }
    float grazing = fresnel(0.0, dot(n, view));
    specular += mirrored(view, n, roughness) * (f0 + (1.0 - f0) * grazing * gloss * 0.8) * open;
    colour = vec4(respond(base * diffuse * (1.0 - metal) + specular), 1.0);
}
